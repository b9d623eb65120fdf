"""What each operator of a new federation has to do, written into its folder."""

from fedket.deploy.choices import Choices
from fedket.deploy.files import OWN_FILES
from fedket.deploy.identity.coordinator import ANSWERS, INVITATIONS
from fedket.deploy.trial_keys import KME
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import config_hash, source_hashes

GIVING = """Give each party its own folder of `kits/` over a channel you trust: it holds that
party's private key."""
JOINING = f"""Send the server and each site its file of `{INVITATIONS}/`, openly if you
like. It runs `fedket deploy join NAME.toml` and sends back `NAME.request.toml`; compare on the
telephone what the two of you see; then run `fedket deploy approve THIS-FOLDER NAME.request.toml`,
the server's first or with sites', and send back `{ANSWERS}/NAME.json`, of which
`fedket deploy join NAME.json` makes its startup kit. Its private key never leaves it."""


def guide(config: ExperimentConfig, choices: Choices, extra: str) -> str:
    """Return the operators' guide; `extra` names what of the package to install."""
    files = OWN_FILES
    places = " or ".join(f"`{host}:{choices.port}`" for host in choices.hosts)
    sites = "\n".join(f"- `{name}`" for name in choices.sites)
    caveats = "\n".join(f"- {said}" for said in config.aggregation.caveats())
    code = "".join(
        f"\n- `{name}`, SHA-256 `{digest}`"
        for name, digest in source_hashes(config).items()
        if name.endswith(".py")
    )
    if code:
        code = f"""
It runs code of its author's, which no kit brings. Every party reads these files, and puts them
beside `experiment.toml`:
{code}
"""
    trial = ""
    if choices.trial_kme:
        trial = f"""
**A trial: the keys are simulated**, not QKD. One key manager makes them for all parties:
`fedket kme serve THIS-FOLDER/{KME}/kme.toml`, at `{choices.trial_kme}:{choices.kme_port}`. Each
kit's `sae.toml` leads there already, and the experiment counts as approved at every site.
"""
    return f"""# What each operator has to do

Experiment `{config.name}`, fingerprint `{config_hash(config)[:16]}`. Every party reads
`{files}/experiment.toml` in its kit: it says what is trained, and nothing else will be.
{code}{trial}
{JOINING if choices.invite else GIVING}
Keep this folder to yourself: `provisioning/` holds the key that signs certificates and the list of
members.

## Sites

{sites}

1. Install: `pip install 'fedket[{extra}]'`.
2. In `{files}/site.toml` say where your samples are (`data`). They stay there. `statistics = true`
   lets your counts and means into sums over all sites, before training.
3. In `{files}/sae.toml` say how you reach your key manager, and put the certificates that it names
   beside it; `fedket keys doctor KIT/{files}/sae.toml` says what is wrong.
4. `fedket deploy consent KIT` shows what would be trained, what leaves your site, and ε if there is
   noise. Approve it, or do not take part.
5. Start: `fedket deploy start KIT`, as a user of the operating system who owns the kit and runs
   nothing else. It may be stopped and started again at any time.

## What the server can learn

{caveats}

## Server

1. Install as above. Sites must reach {places}.
2. In `{files}/federation.toml` check deadlines; `{files}/sae.toml` as above.
3. Start: `fedket deploy start KIT`.

## Administrator

When server and sites are up: `fedket deploy run THIS-FOLDER`. It may be stopped and started again;
the run goes on at the server, whose run directory is `{files}/run` (`fedket report` reads it).
"""
