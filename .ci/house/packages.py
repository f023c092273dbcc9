"""Which of our crates may depend on which, and where everything else comes from."""

import tomllib

from .finding import Finding

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# For each crate: our crates that it may depend on, and those that only its tests may.
ALLOWED = {
    "vhdx-mount": ({"mount-api", "mount-linux", "mount-windows"}, {"fixtures", "winfsp-stand-in"}),
    "mount-api": (set(), set()),
    "mount-linux": ({"mount-api"}, set()),
    "mount-windows": ({"mount-api"}, set()),
    "winfsp-stand-in": (set(), {"mount-api", "mount-windows"}),
    "fixtures": (set(), set()),
}
# mount-api is what everybody can implement or use: it depends on nothing at all.
WITHOUT_DEPENDENCIES = {"mount-api"}
# Behind which condition an adapter stands. The Windows one is GPL: it must never be in the Linux program.
ADAPTERS = {"mount-linux": 'cfg(target_os = "linux")', "mount-windows": "cfg(windows)"}
# What belongs to the program, not to the library: optional, so that `--no-default-features` does without.
PROGRAM = {"clap", "env_logger", *ADAPTERS}


def check(metadata: dict) -> list[Finding]:
    """`metadata`: what `cargo metadata --no-deps` prints."""
    findings = []
    packages = {package["name"]: package for package in metadata["packages"]}
    for name in sorted(packages.keys() ^ ALLOWED.keys()):
        findings.append(Finding("Cargo.toml", 0, f"crate `{name}`: the workspace and .ci/house/packages.py disagree"))
    for name, package in packages.items():
        if name in ALLOWED:
            for dependency in package["dependencies"]:
                findings += _check_dependency(name, dependency)
    members, default = set(metadata["workspace_members"]), set(metadata["workspace_default_members"])
    if members != default:
        findings.append(Finding("Cargo.toml", 0, "`default-members` leaves crates out: `cargo test` must test them all"))
    return findings


def _check_dependency(name, dependency) -> list[Finding]:
    manifest = "Cargo.toml" if name == "vhdx-mount" else f"{name}/Cargo.toml"
    other, tests_only = dependency["name"], dependency["kind"] == "dev"
    always, in_tests = ALLOWED[name]
    findings = []

    def refuse(text):
        findings.append(Finding(manifest, 0, f"{name} {text}"))

    if other in ALLOWED and other not in always and not (tests_only and other in in_tests):
        refuse(f"must not depend on {other}" + (" outside its tests" if other in in_tests else ""))
    if name in WITHOUT_DEPENDENCIES and not tests_only:
        refuse(f"depends on nothing, so not on {other}")
    if name == "vhdx-mount" and other in PROGRAM and not tests_only and not dependency["optional"]:
        refuse(f"must have {other} as an optional dependency: the library does without")
    if other in ADAPTERS and dependency["target"] != ADAPTERS[other]:
        refuse(f"must depend on {other} only where {ADAPTERS[other]}")
    return findings


def check_manifest(path: str, text: str) -> list[Finding]:
    """One crate's Cargo.toml."""
    if tomllib.loads(text).get("lints") != {"workspace": True}:
        return [Finding(path, 0, "lacks `[lints] workspace = true`: the workspace's lints do not reach it")]
    return []


def check_lock(path: str, text: str) -> list[Finding]:
    """Cargo.lock: everything that is not ours comes from crates.io."""
    return [
        Finding(path, 0, f"{package['name']} comes from {package['source']}")
        for package in tomllib.loads(text)["package"]
        if package.get("source", REGISTRY) != REGISTRY
    ]
