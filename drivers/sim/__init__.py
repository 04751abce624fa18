"""The simulated world: one physical truth and the far ends of all wires. The production drivers run unchanged
against it; nothing here shares a codec with them.
"""
