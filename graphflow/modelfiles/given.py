"""Values that a file does not say itself, settled by precedence, with the source of every one.

What the shapes of the tensors say is a fact: a parameter against it is an error, anything else against it is ignored
with a warning. Where values come from stands in :mod:`graphflow.modelfiles.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Guess, JsonValue, Source
from graphflow.modelfiles.inferred import Inferred


@dataclass(frozen=True, slots=True)
class Given:
    """Values that one source gives: section to field to value."""

    source: Source
    reason: str
    values: Mapping[str, Config]
    variant: str = ""


@dataclass(slots=True)
class Answers:
    """Collects values with their sources while a description is made.

    Attributes:
        given: Sources in order of precedence.
        where: The file, for errors.
        guesses: What has been answers.
        warnings: Sentences for the user.
    """

    given: tuple[Given, ...]
    where: str
    guesses: list[Guess] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def variant(self) -> Guess | None:
        """The variant that a source names, such as `sd2`."""
        for given in self.given:
            if given.variant:
                return Guess("variant", given.variant, given.source, True, given.reason)
        return None

    def part(self, name: str, inferred: Inferred) -> Config:
        """The complete config of a part: facts, then what sources give, then defaults.

        Raises:
            ModelFormatError: A parameter contradicts the tensors.
        """
        config: Config = {}
        for key, value in inferred.facts.items():
            config[key] = value
            self.guesses.append(Guess(f"{name}.{key}", value, "shapes", True))
            self._check_against(name, key, value)
        extra = {key for given in self.given for key in given.values.get(name, {})}
        for key in [*inferred.defaults, *sorted(extra - set(inferred.defaults))]:
            if key not in config and not key.startswith("_"):
                certain = key in inferred.certain
                config[key] = self.value(name, key, inferred.defaults.get(key), certain=certain)
        return config

    def value(
        self, section: str, key: str, default: JsonValue, *, certain: bool = False, source: Source = "default"
    ) -> JsonValue:
        """One value by precedence; `default` (which comes from `source`) where no source gives it."""
        for given in self.given:
            values = given.values.get(section, {})
            if key in values:
                self.guesses.append(Guess(f"{section}.{key}", values[key], given.source, True, given.reason))
                return values[key]
        self.guesses.append(Guess(f"{section}.{key}", default, source, certain))
        return default

    def check_scheduler(self, scheduler: Config) -> None:
        """Refuse parameters that say of a flow model what only models of other kinds may predict.

        Raises:
            ModelFormatError: There are such.
        """
        asked = any(given.source == "parameter" and "scheduler" in given.values for given in self.given)
        if asked and str(scheduler.get("_class_name", "")).startswith("FlowMatch"):
            raise ModelFormatError(
                "a flow model predicts the velocity of its flow, and nothing else can be said of it",
                where=self.where,
                advice="leave prediction and zero_snr at auto",
            )

    def _check_against(self, name: str, key: str, fact: JsonValue) -> None:
        for given in self.given:
            values = given.values.get(name, {})
            if key in values and not _same(values[key], fact):
                message = f"{name}.{key} is {fact} by the shapes of the tensors, not {values[key]} ({given.reason})"
                if given.source == "parameter":
                    raise ModelFormatError(message, where=self.where, advice="leave the parameter out")
                self.warnings.append(message + "; the shapes win")


def _same(value: JsonValue, fact: JsonValue) -> bool:
    """Equal, where one number may stand for a list of equal ones."""
    if isinstance(value, list) and not isinstance(fact, list):
        return bool(value) and all(item == fact for item in value)
    if isinstance(fact, list) and not isinstance(value, list):
        return all(item == value for item in fact)
    return value == fact
