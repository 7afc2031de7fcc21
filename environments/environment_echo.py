"""The least environment: it says what it hears. For trying clients, servers and whatever lies between them."""

from prismenv import Action, BaseEnvironment, Observation, State, StrictEnvironmentConfig, environment_registry

READY = "Echo environment ready!"
REWARD_OF_A_CHARACTER = 0.1


class EchoAction(Action):
    """What is said."""

    message: str


class EchoObservation(Observation):
    """What is heard. `message_length` is in characters."""

    echoed_message: str
    message_length: int = 0


@environment_registry.register("environment_echo", config=StrictEnvironmentConfig)
class Echo(BaseEnvironment):
    """Says what it hears; the reward of a message is a tenth of its length. An episode never ends by itself."""

    async def reset(self, episode_id: str | None = None) -> EchoObservation:
        """Begin anew."""
        self._state = State(episode_id=episode_id)
        return EchoObservation(echoed_message=READY)

    async def step(self, action: EchoAction) -> EchoObservation:
        """Say something."""
        self._state.step_count += 1
        length = len(action.message)
        return EchoObservation(
            echoed_message=action.message, message_length=length, reward=length * REWARD_OF_A_CHARACTER
        )

    @property
    def state(self) -> State:
        """Which episode it is, and how many steps it has."""
        return self._state
