"""An HTTP server of a test."""

from __future__ import annotations

from http.server import ThreadingHTTPServer


class PatientServer(ThreadingHTTPServer):
    """Of many connections at a time: the system resets those that find five others waiting, as is usual."""

    request_queue_size = 128
