"""A package as another maker would write it: a meter, a board, and their far ends. Nothing in ``agent`` or ``drivers``
names it. ``line`` is the maker's protocol; a device is one file beside it."""
