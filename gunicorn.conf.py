"""Web server settings, read by gunicorn from the working directory (make run and Procfile alike)."""

import multiprocessing
import os
from pathlib import Path

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"

# Threads, because a request mostly waits for Postgres; one process per core, because decoding and pricing hold the GIL.
# Each thread keeps one database connection: workers × threads must fit max_connections (or PgBouncer's pool).
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(multiprocessing.cpu_count(), 8))
threads = int(os.environ.get("WEB_THREADS", "8"))

# Load the code once and fork: workers share its memory, and a killed one is back in milliseconds. A deployment
# therefore restarts the process; SIGHUP alone would not load new code.
preload_app = True

# A worker whose main loop is silent this long is replaced; its requests run in threads and do not count.
timeout = 60
# Time for requests to finish after SIGTERM.
graceful_timeout = 10
# Above the idle time of most proxies' connection pools would be better still; below it they see resets.
keepalive = 75

# A leak in a library must not grow for ever; the jitter keeps workers from going at the same time.
max_requests = 100_000
max_requests_jitter = 10_000

# The heartbeat file must not wait for a busy disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes a private file there

# One line per request is the proxy's business; ACCESS_LOG=- prints it here.
accesslog = os.environ.get("ACCESS_LOG") or None
errorlog = "-"
loglevel = "warning"
# No run-time control socket: it would be shared by every gunicorn of this user.
control_socket_disable = True
