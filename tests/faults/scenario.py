"""One scenario: clients that use a cluster while things go wrong, and what must hold afterwards."""

from __future__ import annotations

import random
import traceback
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from pio_tf import Cluster
from pio_tf.cluster.apply_guard import PowerNote
from pio_tf.errors import Locked, MachinesMayBeRunning, PioTfError
from pio_tf.events import ResourceProgress, Warned
from tests.faults.aws import Died, FaultyAws
from tests.faults.client import Client, acting
from tests.faults.driver import LASTS, SessionStandIn
from tests.faults.faults import Trouble, draw_bad, draw_sold_out, draw_trouble, draw_weather
from tests.faults.time import Turns
from tests.faults.world import GRACE, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.events import Event, Reporter
    from pio_tf.training.driver_session import SessionOpener
    from tests.faults.world import World

COMMANDS = ("up", "train", "train", "train --keep-up", "train --detach", "down", "down --force", "apply", "apply")
POWERS = ("stopped", "stopped", "stopped", "running", "running", "pending", "stopping")
_STOPPING = ("train", "down", "down --force")
"""Commands that leave no machine on."""
_KEEPING = ("up", "train --keep-up", "train --detach")
"""Commands that leave machines running until their deadline."""
KILLED = -9


@dataclass
class Outcome:
    """The end of one command."""

    command: str
    client: str
    code: int
    """pio-tf's exit code; :data:`KILLED`."""
    error: PioTfError | None = None
    crash: str = ""
    warnings: list[str] = field(default_factory=list)
    powers: dict[str, str] = field(default_factory=dict)
    """As AWS had them right after its end."""
    alone: bool = True
    promised: str = ""
    """The time at which AWS was to stop the machines that the command has left running."""


@dataclass
class Result:
    """The result of a scenario."""

    seed: int
    workers: int
    outcomes: list[Outcome] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    past_deadline: int = 0
    past_run_end: int = 0
    """Machines that run although their driver should have powered itself off."""
    stopped_themselves: int = 0


_last: deque[Client] = deque(maxlen=1)


def current_client() -> Client:
    """Return the client of this thread; a thread of a client's pool belongs to the last client."""
    return acting.get(None) or _last[-1]


def cluster_of(client: Client, aws: FaultyAws, reporter: Reporter) -> Cluster:
    """Return the cluster as a client has it: with its faults, and the world's time. This thread acts as that client."""
    world = client.world
    acting.set(client)
    _last.append(client)
    return Cluster(
        world.config,
        reporter=reporter,
        environ={"PATH": "/usr/bin:/bin"},
        aws=aws,
        open_session=cast("SessionOpener", partial(SessionStandIn.open, client)),
        clock=world.clock,
        sleep=client.sleep,
        now=world.clock.moment,
    )


class Stage:
    """A world and what clients share in it: one for many scenarios."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.aws = FaultyAws(world.config, current_client)
        stack = Cluster(world.config, environ={"PATH": "/usr/bin:/bin"})._command().stack
        self._applied, self._digest = stack.applied, stack.digest() + "\n"
        self.tidy()

    def tidy(self) -> None:
        """Remove what an earlier apply has left on the disk."""
        self._applied.parent.mkdir(parents=True, exist_ok=True)
        self._applied.write_text(self._digest)
        PowerNote.of(self.world.config).remove()

    def command(self, command: str, client: Client) -> Outcome:
        """Run one command as the command line does: its exit code, and what it says."""
        outcome = Outcome(command, client.name, 0)

        def listen(event: Event) -> None:
            if isinstance(event, Warned):
                outcome.warnings.append(event.message)
            if isinstance(event, ResourceProgress):
                self.world.terraform_acts(event, by=client.name, sleep=client.sleep)

        if command == "down --force":
            self.world.forcing.add(client.name)
        cluster = cluster_of(client, self.aws, listen)
        try:
            _CALLS[command](cluster)
        except PioTfError as error:
            outcome.code, outcome.error = error.exit_code, error
        except KeyboardInterrupt:
            outcome.code = 130
        except Died:
            outcome.code = KILLED
        except BaseException:  # noqa: BLE001 - this is what must not be
            outcome.code, outcome.crash = 1, traceback.format_exc()
        if client.dead:  # a dead client sees no other end
            outcome.code, outcome.error, outcome.crash = KILLED, None, ""
        self.world.driver.lost(client)
        outcome.powers = self.world.states()
        if outcome.code == 0 and command in _KEEPING and set(outcome.powers.values()) == {"running"}:
            outcome.promised = self.world.deadline()
        return outcome


_CALLS: dict[str, Callable[[Cluster], object]] = {
    "up": lambda cluster: cluster.up(),
    "train": lambda cluster: cluster.train(),
    "train --keep-up": lambda cluster: cluster.train(keep_up=True),
    "train --detach": lambda cluster: cluster.train(detach=True),
    "down": lambda cluster: cluster.down(),
    "down --force": lambda cluster: cluster.down(force=True),
    "down --if-idle": lambda cluster: cluster.down_if_idle(idle_for=0.0),
    "status": lambda cluster: cluster.status(),
    "apply": lambda cluster: cluster.apply(),
    "destroy": lambda cluster: cluster.destroy(),
}


def workers_of(seed: int) -> int:
    """Return the number of workers in a scenario's cluster."""
    return random.Random(seed).choice((1, 1, 2, 3, 4, 8))  # noqa: S311 - no secret


def play(seed: int, stage: Stage) -> Result:
    """Play the scenario of a seed. The same seed does the same again."""
    rng = random.Random(f"scenario {seed}")  # noqa: S311 - no secret
    random.seed(seed)  # botocore draws what it waits between two tries
    world = stage.world
    result = Result(seed, workers_of(seed))
    bad = draw_bad(random.Random(f"bad machine {seed}"), world.machines)  # noqa: S311 - no secret
    powers = _draw_powers(rng, world.machines)
    stage.tidy()
    good = [name for name in world.machines if bad is None or name != bad.machine]
    sold_out = draw_sold_out(random.Random(f"sold out {seed}"))  # noqa: S311 - no secret
    weather = replace(draw_weather(rng, world.machines), sold_out=sold_out)
    world.begin(weather, powers, changes=rng.choice(good), bad=bad)
    troubles: list[Trouble] = []
    for number in range(rng.choice((1, 2, 2, 3, 4))):
        pair = rng.random() < 0.2
        plans = [(rng.choice(COMMANDS), draw_trouble(rng)) for _ in range(1 + pair)]
        troubles += [trouble for _, trouble in plans]
        ended = _at_once(stage, number, plans, rng) if pair else [_alone(stage, number, *plans[0])]
        result.outcomes += ended
        if set(world.states().values()) == {"running"}:
            result.violations += [
                f"{one.client}: `{one.command}` left machines running until {one.promised}, and now their deadline is "
                f"{world.deadline() or 'gone'}"
                for one in ended
                if one.promised > world.deadline()
            ]
        world.pass_by(rng.choice((0.0, 1.0, 60.0, 3600.0, 6 * 3600.0)))
    for trouble in troubles:
        result.faults.update(trouble.happened)
    _note_weather(result, world)
    result.violations += check_outcomes(result, world)
    result.violations += check_self_stop(result, world)
    result.violations += check_deadline(result, world)
    result.violations += check_bad_machine(stage)
    result.stopped_themselves = world.stopped_themselves
    result.violations += check_after(stage, result)
    return result


def _draw_powers(rng: random.Random, machines: tuple[str, ...]) -> dict[str, str]:
    if rng.random() < 0.5:
        return dict.fromkeys(machines, "stopped")
    return {name: rng.choice(POWERS) for name in machines}


def _alone(stage: Stage, number: int, command: str, trouble: Trouble) -> Outcome:
    return stage.command(command, Client(f"client {number + 1}", stage.world, trouble))


def _at_once(stage: Stage, number: int, plans: list[tuple[str, Trouble]], rng: random.Random) -> list[Outcome]:
    turns = Turns(rng)
    outcomes: list[Outcome] = []
    works: dict[str, Callable[[], None]] = {}
    for letter, (command, trouble) in zip("ab", plans, strict=True):
        client = Client(f"client {number + 1}{letter}", stage.world, trouble, turns)

        def work(command: str = command, client: Client = client) -> None:
            outcome = stage.command(command, client)
            outcome.alone = False
            outcomes.append(outcome)

        works[client.name] = work
    turns.run(works)
    return outcomes


def _note_weather(result: Result, world: World) -> None:
    weather = world.weather
    assert weather is not None
    for name, there in (
        ("no capacity", weather.no_capacity),
        ("type sold out", weather.sold_out),
        ("start falls back", weather.falls_back),
        ("stuck stopping", weather.stuck),
        ("delayed visibility", weather.lag_seconds),
        ("slow state changes", weather.transition_seconds >= 30),
        (f"{world.bad.kind if world.bad else ''} machine", world.spoiled),
    ):
        result.faults[name] += bool(there)


def check_outcomes(result: Result, world: World) -> list[str]:
    """Return commands whose end does not say what is true."""
    found = [f"{world.wrong!r}"] if world.wrong else []
    for outcome in result.outcomes:
        label = f"{outcome.client}: `{outcome.command}` ended with {outcome.code}"
        not_off = sorted(name for name, state in outcome.powers.items() if state not in ("stopped", "terminated"))
        if outcome.crash:
            found.append(f"{label}: no error of ours:\n{outcome.crash}")
        if outcome.error is not None and not (outcome.error.cause or outcome.error.next_step):
            found.append(f"{label}: neither cause nor next step: {outcome.error}")
        if not outcome.alone or not not_off:
            continue
        if outcome.command.startswith("down") and outcome.code not in (7, KILLED, Locked.exit_code):
            found.append(f"{label}, but {', '.join(not_off)} are not stopped: {outcome.error}")
        left = world.started.get(outcome.client, set()) & set(not_off)
        if outcome.command in ("train", "apply") and outcome.code not in (7, KILLED, Locked.exit_code) and left:
            said = [line for line in outcome.warnings if "keep running" in line]
            if not said:
                found.append(f"{label}, but {', '.join(not_off)} are not stopped: {outcome.error}; {outcome.warnings}")
        if outcome.code == MachinesMayBeRunning.exit_code and outcome.error and outcome.command in _STOPPING:
            ids = str(outcome.error) + str(outcome.error.details)
            untold = [name for name in not_off if name not in ids and world.ids[name] not in ids]
            if untold and "could not determine which" not in ids and "looking" not in ids:
                found.append(f"{label} and does not name {', '.join(untold)}: {outcome.error}")
    return found


def check_self_stop(result: Result, world: World) -> list[str]:
    """Return machines that clients have started, and that run long after the end of a run which stops them."""
    if not world.driver.lingers:
        return []
    for seconds in (LASTS, world.config.train.linger, 60.0, PATIENCE + GRACE, 60.0, 60.0):
        world.pass_by(seconds + 1.0)
    started = set().union(*world.started.values())
    late = sorted(name for name in started - {world.spoiled} if world.states()[name] not in ("stopping", "stopped"))
    result.past_run_end += len(late)
    return [f"long after the end of its run, {', '.join(late)} run"] if late else []


def check_deadline(result: Result, world: World) -> list[str]:
    """Return machines that clients have started, and that run after the deadline."""
    world.driver.pass_time()
    held = world.driver.held
    found = []
    if held is not None and held.doing == "preparing":
        found.append(f"the lock is held for {held.run} by a client that has ended")
    if held is not None and held.doing == "running" and world.driver.runs[held.run].state != "running":
        found.append(f"the lock is held by the run {held.run}, which has ended")
    world.pass_by(world.config.train.max_runtime + 120.0)
    world.pass_by(120.0)
    started = set().union(*world.started.values())
    late = sorted(name for name in started - {world.spoiled} if world.states()[name] not in ("stopping", "stopped"))
    if late:
        result.past_deadline += len(late)
        found.append(f"past the deadline, {', '.join(late)} run")
    return found


def check_bad_machine(stage: Stage) -> list[str]:
    """Return what the machine that AWS can't stop has kept running, or which command does not name it."""
    world, found = stage.world, []
    name = world.spoiled
    if not name:
        return []
    if world.states()[name] == "running" and any(name in started for started in world.started.values()):
        status = stage.command("status", Client("afterwards (status)", world, Trouble()))
        if status.code or not any(world.ids[name] in line for line in status.warnings):
            found.append(f"`status` does not say that {name} runs past its deadline: {status.warnings} {status.error}")
    down = stage.command("down --force", Client("afterwards (down beside a bad machine)", world, Trouble()))
    left = sorted(one for one, state in down.powers.items() if state not in ("stopped", "terminated"))
    if set(left) - {name} or (left and down.code != MachinesMayBeRunning.exit_code):
        found.append(f"beside {name}, `down --force` ended with {down.code} and {down.powers}: {down.error}")
    return found


def check_after(stage: Stage, result: Result) -> list[str]:
    """Return what was lost or changed, or can't be used again."""
    world, found = stage.world, []
    world.clear_up()
    for command, wanted in (("down --force", {"stopped"}), ("up", {"running"}), ("down", {"stopped"})):
        world.pass_by(60.0)
        outcome = stage.command(command, Client(f"afterwards ({command})", world, Trouble()))
        if outcome.code != 0 or set(outcome.powers.values()) != wanted:
            said = outcome.crash or str(outcome.error)
            found.append(f"afterwards, `{command}` ended with {outcome.code} and {outcome.powers}: {said}")
    if world.belongings() != world.began_with:
        found.append(f"machines, disks or addresses are not what they were: {world.belongings()}")
    if world.other_states() != {"running"}:
        found.append(f"others' machines were switched: {world.other_states()}")
    if world.wrong:
        found.append(f"calls that no client may make: {world.wrong}")
    return found
