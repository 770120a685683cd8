"""Which verbs a repository has, and which of them no test has called."""


def verbs(repository: type) -> list[str]:
    return [name for name, value in vars(repository).items() if callable(value) and not name.startswith("_")]


def left_out(repository: type, called: set[str]) -> set[str]:
    return {f"{repository.__name__}.{verb}" for verb in verbs(repository)} - called
