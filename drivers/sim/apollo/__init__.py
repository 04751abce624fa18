"""Far end of ``terminal_payter``: a payment terminal that speaks PSP, and the bank behind it.

It is a process of its own (``python -m drivers.sim.apollo``), so that it can lose power. The bank's books are on its
disk and survive.
"""
