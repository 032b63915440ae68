"""Errors that a user can act on: shown as one line, never as a traceback."""


class UserError(Exception):
    """What was asked for cannot be done; the message names what and what to do."""


class StudyError(UserError):
    """The study file is wrong; the message names file, key, value and what is allowed."""


class DataError(UserError):
    """The images cannot be read as the study declares them."""


class StaleShardError(UserError):
    """A shard does not belong to the study as it is declared now."""


class StoreError(UserError):
    """The store is missing, damaged, or of another schema version."""


class AnalysisError(UserError):
    """The replicates do not allow the analysis asked for."""
