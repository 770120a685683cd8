"""One row of what `hub verify` shows, for each of its pages."""

from dataclasses import dataclass, field

PAGE = 500
SHOWN = 5  # examples of what differs, per check


@dataclass(slots=True)
class Check:
    """One row of the table: how many were looked at, and what was wrong with which."""

    name: str
    looked_at: int = 0
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def is_fine(self) -> bool:
        return not self.wrong

    def expect(self, is_so: bool, otherwise: str) -> None:
        self.looked_at += 1
        if not is_so:
            self.wrong.append(otherwise)
