"""Writes the audit trail."""

from chatsite.accounts.models import AuditEvent, User


def record(
    *, kind: AuditEvent.Kind, user: User | None, by: User | None = None, address: str = "", detail: str = ""
) -> AuditEvent:
    """Note that `kind` happened to `user`. `by` is kept only when it is somebody else."""
    return AuditEvent.objects.create(
        kind=kind, user=user, by=by if by != user else None, address=address, detail=detail
    )
