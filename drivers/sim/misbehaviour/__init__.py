"""A simulated station that misbehaves on request, as stations in the field do: ``[simulation] misbehaviour``
(docs/misbehaviour.md).

The agent stays as it is. A proxy on its way to the backend changes what it sends and what it is answered, so a station
that is not simulated cannot misbehave.
"""
