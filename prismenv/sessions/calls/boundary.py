"""The edge to a provider's own code: whatever it raises becomes one of our errors, once, here."""

from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, EnvironmentException


class Boundary(Wrapper):
    """The innermost wrapper: above it a provider raises EnvironmentException and nothing else."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        try:
            return await self._inner.complete(request)
        except EnvironmentException:
            raise
        except Exception as error:  # boundary: a provider's own code, often somebody else's
            raise _classified(request.role, error) from error


def _classified(role: str, error: Exception) -> AgentCommunicationException:
    """What a provider's plain exception means."""
    code = "provider_failed"
    if isinstance(error, TimeoutError):
        code = "timed_out"
    elif isinstance(error, ConnectionError):
        code = "unavailable"
    return AgentCommunicationException(
        f"{role}: the provider raised {type(error).__name__}: {error}", code=code, subject=role
    )
