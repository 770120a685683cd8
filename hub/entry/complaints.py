"""What the caller of a command can mend: printed as one line, exit code 2."""


class Complaint(Exception):
    """The text says what is wrong and what to do."""
