"""The section `[engine]` of experiments whose clients are sites."""

from fedket.deploy.engines import DEFAULT, DeploymentEngine
from fedket.errors import ConfigError, UserCodeError
from fedket.federated.engine_kinds import EngineConfig
from fedket.federated.trainer import MakeEngine
from fedket.section import Context


class SitesConfig(EngineConfig):
    """Base of engines whose clients are sites, each a process of its own."""

    def deployment(self) -> DeploymentEngine:
        """The engine; its own package need not be installed yet."""
        raise UserCodeError(
            f"{type(self).__name__} has no `deployment(self)`; define one that returns a "
            "`DeploymentEngine`"
        )

    def caveats(self) -> tuple[str, ...]:
        """What is real."""
        title = self.deployment().title
        return (f"Sites, server and the messages between them are real ({title}).",)

    def build(self, context: Context) -> MakeEngine:
        """Refuse to simulate.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f'engine.kind = "{self.kind}" trains at sites; use `fedket deploy local FILE` to see '
            "it on this machine, or another engine to simulate it"
        )


def deployment_of(config: EngineConfig) -> DeploymentEngine:
    """The engine of an experiment that runs on sites.

    Raises:
        ConfigError: It does not.
    """
    if not isinstance(config, SitesConfig):
        raise ConfigError(f'engine.kind = "{config.kind}" does not run on sites; use "{DEFAULT}"')
    return config.deployment()
