"""The checks of ``chargy-agent verify``, one module per role: pure asyncio, no test framework inside.

They are found by the entry-point group ``chargy_agent.checks``. A package may add more under a name of its own.
"""
