"""A server that tells sites what it likes, under its own MACs, for tests of attacks."""

from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site_trainer import make_task
from fedket.secure import sides
from fedket.secure.channel import authenticated_server
from fedket.secure.phases import Failure, Reply, mapped


class LyingServer:
    """A server over sites in this process.

    Args:
        monkeypatch: Puts the lies between the protocol and its MACs.
        members: From `local_sites`.
        lies: (site, action, request) -> the request that this site gets instead.
    """

    def __init__(self, monkeypatch, config, built, members, keys, lies):
        self.members, self.answers = members, {}
        task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
        rounds = SiteRounds(task, self, keys, "a session")
        self.federation = site_experiment(task, rounds, None).federation

        def lie(phase):
            each = {i: lies(i, phase.action, phase.payload_for(i)) for i in phase.to}
            return phase._replace(each=each)

        def lying(server, *rest):
            return authenticated_server(mapped(server, lie), *rest)

        self.lie = lie

        monkeypatch.setattr(sides, "authenticated_server", lying)

    def gather(self, needed=0):
        return self.members.gather()

    def tell(self, left_out):
        pass

    def absent(self):
        return {}

    def execute(self, phase):
        outcomes = self.members.execute(self.lie(phase) if phase.action == "fill" else phase)
        for i, outcome in outcomes.items():
            self.answers[phase.action, i] = outcome
        return outcomes

    def round(self, state=None):
        """Hold a round; returns state and record."""
        return self.federation.run_round(state or self.federation.init())

    def given(self, *actions):
        """Sites that answered one of these."""
        said = self.answers.items()
        return {i for (a, i), outcome in said if a in actions and isinstance(outcome, Reply)}

    def said(self, action):
        """Site -> why it refused."""
        said = self.answers.items()
        return {i: o.reason for (a, i), o in said if a == action and isinstance(o, Failure)}
