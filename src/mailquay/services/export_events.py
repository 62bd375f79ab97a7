"""What the events of an export say."""

from __future__ import annotations

from mailquay.errors import MailquayError
from mailquay.model.event import EventName, NewEvent
from mailquay.model.export import Export, ExportPhase, ExportStatus
from mailquay.services.export_formats import file_end
from mailquay.services.presentation import iso


def bytes_written(export: Export) -> int:
    """How long the file is so far."""
    written = export.progress.content_bytes + export.progress.directory_bytes
    return written + len(file_end(export)) if export.phase is ExportPhase.COMPLETE else written


def completed_event(export: Export, now_ms: int, expires_ms: int) -> NewEvent:
    """exportCompleted; of an export in the phase COMPLETE. `duration` is in milliseconds."""
    facts = {
        "exportId": export.id,
        "messagesExported": export.progress.exported,
        "messagesSkipped": export.progress.skipped,
        "bytesWritten": bytes_written(export),
        "duration": max(0, now_ms - export.created_ms),
        "expiresAt": iso(expires_ms),
    }
    request = export.request
    asked = {
        "folders": list(request.folders),
        "startDate": iso(request.start_ms),
        "endDate": iso(request.end_ms),
    }
    return NewEvent(export.account, EventName.EXPORT_COMPLETED, now_ms, facts, {**asked, **facts})


def failed_event(export: Export, error: MailquayError, now_ms: int) -> NewEvent:
    """exportFailed."""
    phase = "pending" if export.status is ExportStatus.QUEUED else export.phase.value
    facts = {
        "exportId": export.id,
        "errorCode": error.code,
        "phase": phase,
        "messagesExported": export.progress.exported,
        "messagesQueued": export.progress.queued,
    }
    return NewEvent(export.account, EventName.EXPORT_FAILED, now_ms, facts, {"error": error.message, **facts})
