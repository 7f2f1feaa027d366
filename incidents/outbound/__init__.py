"""How a message leaves the desk: one module for each kind of channel, each with `send(channel, message) -> Outcome`."""
