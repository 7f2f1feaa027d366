"""Django looks here for the DatabaseWrapper."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL; whether a kept connection is still usable is read from its socket, at every request."""

    def is_usable(self) -> bool:
        """A server that ended the session has left its farewell, or the end of the stream, to be read; a healthy idle
        session has left nothing. Only where something is to be read is the server asked."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0) or super().is_usable()
