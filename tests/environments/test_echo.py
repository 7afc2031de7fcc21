"""The least environment."""

import anyio

from prismenv import BaseEnvironment
from prismenv.contracts.services import Services
from prismenv.engine.host.instance import Instance
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox


def test_echo_says_it_is_ready_and_then_what_it_hears_for_a_tenth_of_its_length(stage):
    async def main():
        services = Services(interface=stage.interface(), sandbox=ScriptedSandbox(), clock=ManualClock())
        async with BaseEnvironment("environment_echo", config={}, services=services) as environment:
            echo = Instance("instance-1", environment, services.clock, seed=1, lease_seconds=60)
            first = await echo.reset({"episode_id": "e"})
            assert (first.observation.echoed_message, first.reward) == ("Echo environment ready!", None)
            for said, reward in (("hello", 0.5), ("", 0.0), ("ünïcödé 🙂", 0.9)):
                step = await echo.step({"message": said})
                assert (step.observation.echoed_message, step.done) == (said, False)
                assert abs(step.reward - reward) < 1e-9
            assert await echo.state() == {"episode_id": "e", "step_count": 3}

    anyio.run(main)
