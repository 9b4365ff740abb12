"""The benchmark's own error: how late it sent, how late it read."""

import numpy as np

from benchsuite.records.table import FloatArray, RunData


def send_delay(data: RunData) -> FloatArray:
    """From when a request was due to when its first byte left, the opening of its connection
    included. Undefined where nothing was due: a closed loop has no send delay by definition (its
    later turns, due when the last one ended plus the gap, do)."""
    return data.sent_s - data.due_s


def issue_delay(data: RunData) -> FloatArray:
    """Closed loop: from when a slot became free to when the next request of that slot left. With c
    slots the request sent as number c + i (from 1) takes the slot freed by the i-th answer to end.
    Undefined in an open loop, for the first c requests, and where sessions have several turns."""
    delay_s = np.full(len(data), np.nan)
    if not np.isnan(data.due_s).all() or (data.turn > 0).any():
        return delay_s
    sent = np.flatnonzero(~np.isnan(data.sent_s))
    sent = sent[np.argsort(data.sent_s[sent], kind="stable")]
    sent_s, ended_s = data.sent_s[sent], np.sort(data.finished_s[sent])
    if not len(sent):
        return delay_s
    slots = int(np.searchsorted(sent_s, ended_s[0], side="left"))  # sent before the first ended
    delay_s[sent[slots:]] = sent_s[slots:] - ended_s[: len(sent) - slots]
    return delay_s


def client_lag(data: RunData) -> FloatArray:
    """From when bytes arrived in the kernel to when the program saw them, one value per chunk.
    Undefined without kernel stamps. Where the kernel's stamp is the one that counts, this is the
    error that was avoided, not one that was made."""
    return data.chunk_lag_s.astype(np.float64)


def connect_time(data: RunData) -> FloatArray:
    """Time spent opening the connection (TCP and TLS); zero where an open one was used again."""
    return data.connect_s
