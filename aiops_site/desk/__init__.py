"""`make run`: one command that starts a whole desk and one Ctrl-C that stops it.

`bootstrap` makes the virtual environment (standard library only), `preflight` refuses what cannot work with a message,
`environment` keeps the secret key and desk.env, `postgres` and `valkey` describe the embedded servers, `services` lists
the processes, `supervisor` runs them. Production uses the Procfile and real servers instead: docs/operations.md.
"""
