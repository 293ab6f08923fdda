"""The service: what programs ask over HTTP, a socket or a pipe, on top of :mod:`graphflow.jobs`."""
