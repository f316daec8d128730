"""Where the numbers come from: identities, versions, data, and the command that makes them again."""

from __future__ import annotations

import shlex

from evenhand.core.record import Environment, ModelIdentity, Record, Sites
from evenhand.core.trial import Trial
from evenhand.report import numbers


def command(record: Record) -> str:
    """The command line that made the run; for a run from Python one that comes close."""
    if record.command:
        return record.command
    environment = record.environment
    parts = ["evenhand", "audit" if record.suite else "measure", record.model.name]
    if record.suite:
        parts += ["--suite", record.suite]
    else:
        parts += ["--on", ",".join(run.name for run in record.benchmarks)]
        limits = {run.n_items for run in record.benchmarks if run.n_items < run.n_available}
        if len(limits) == 1:
            parts += ["--limit", str(limits.pop())]
    if record.patch is not None:
        parts += ["--with", record.patch.get("path", "PATCH")]
    parts += ["--seed", str(environment.seed), "--device", environment.device, "--dtype", environment.dtype]
    if environment.chat in ("on", "off"):
        parts += ["--chat", environment.chat]
    return shlex.join(parts)


def facts(record: Record) -> dict[str, dict[str, str]]:
    """Titled lists of names and values: model, patch if there is one, run, environment."""
    environment = record.environment
    out = {"Model": model_facts(record.model)}
    if record.patch is not None:
        out["Patch"] = dict(record.patch)
    out["Run"] = {
        "finished": record.created,
        "suite": f"{record.suite}, version {record.suite_version}" if record.suite else "none",
        "plan": record.plan,
        "seed": str(environment.seed),
        "intervals": "; ".join(
            dict.fromkeys(_interval(e.method, e.draws) for e in record.estimates if e.low is not None)
        ),
        "measuring took": numbers.duration(record.seconds),
        "tokens through the model": numbers.count(record.tokens),
    }
    out["Environment"] = environment_facts(environment)
    return out


def trial_facts(trial: Trial) -> dict[str, dict[str, str]]:
    """Titled lists of names and values: model, trial, environment."""
    return {
        "Model": model_facts(trial.model),
        "Trial": {
            "finished": trial.created,
            "seed": str(trial.seed),
            "level of intervals": numbers.percent(trial.level),
            "draws": numbers.count(trial.draws),
            "primary numbers": ", ".join(trial.primary),
            "guards": ", ".join(trial.guards) or "none",
            "it took": numbers.duration(trial.seconds),
            **{f"patch of {arm.name}": arm.fingerprint for arm in trial.arms},
        },
        "Environment": environment_facts(trial.environment),
    }


def site_facts(sites: Sites) -> dict[str, dict[str, str]]:
    """Titled lists of names and values: model, patch if there is one, run."""
    run = {
        "finished": sites.created,
        "seed": str(sites.seed),
        "items": numbers.count(sites.n_items),
        "fold": sites.fold or "all",
        "it took": numbers.duration(sites.seconds),
    }
    patch = {} if sites.patch is None else {"Patch": dict(sites.patch)}
    return {"Model": model_facts(sites.model), **patch, "Run": run}


def model_facts(model: ModelIdentity) -> dict[str, str]:
    """Which model it was."""
    return {
        "name": model.name,
        "weights from": model.source,
        "kind": model.task,
        "architecture": model.architecture,
        "parameters": numbers.count(model.parameters),
        "licence": model.licence or "not recorded",
        "fingerprint": model.fingerprint,
        "sha256 of weights": model.weights,
        "sha256 of configuration": model.config,
        "sha256 of tokenizer": model.tokenizer,
    }


def environment_facts(environment: Environment) -> dict[str, str]:
    """What it ran on."""
    return {
        "evenhand": environment.evenhand,
        "Python": environment.python,
        "torch": environment.torch,
        "transformers": environment.transformers,
        "numpy": environment.numpy,
        "platform": environment.platform,
        "device": environment.device,
        "dtype": environment.dtype,
        "threads": str(environment.threads),
        "scoring": environment.road,
        "chat template": environment.chat,
        "special tokens": environment.special_tokens or "not recorded",
    }


def _interval(method: str, draws: int) -> str:
    return f"{method}, {numbers.count(draws)} draws" if draws else method
