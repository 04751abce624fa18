"""Receipts of card payments as drivers see them: a page, and what is printed (decision 67).

Imported only where a receipt is asked for.
"""
