"""What a driver of any display shares: a screen put into words, the layout for a panel's size and depth, and painting.

Nothing is imported here; Pillow comes with ``drivers.panel.display``, which a driver imports when it is opened.
"""
