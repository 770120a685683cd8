"""Plays: clients that want one thing and ask for it with the same keys until they have it, whoever dies on the way;
and scenes: which play, on what kind of process, gets to which fail-point. A file for each subject, its scenes at the
end; all of them in `scenes`."""
