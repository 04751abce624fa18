"""Far end of ``terminal_payter``: a payment terminal that speaks PSP, and the bank behind it. A process of its own
(``python -m drivers.sim.apollo``), so that it can lose power; the bank's books are on its disk and survive."""
