# Sourced by the set-up scripts. Installs Debian and Ubuntu packages, but only those that are missing, so that later runs need no network.

ebb_packages=(g++ cmake ninja-build pkg-config libeigen3-dev zlib1g-dev liblzma-dev libjpeg-dev libpng-dev libpugixml-dev libssl-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev
  doctest-dev libmpfr-dev)

# missing PACKAGE...: those not installed, one a line
missing() {
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == *"ok installed" ]] || echo "$package"
  done
}

# need PACKAGE...: installs what is missing; 1 if that cannot be done
need() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is no Debian or Ubuntu; taking it that the counterparts of these are there: $*" >&2
    return 0
  fi
  local packages root=()
  mapfile -t packages < <(missing "$@")
  ((${#packages[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "Missing: ${packages[*]}. Install them as root: apt-get install ${packages[*]}" >&2; return 1; }
    root=(sudo)
  fi
  echo "Installing ${packages[*]}"
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::http::Timeout=20)
  # The lists of a fresh machine are empty or stale; old ones still serve when there is no network for new ones.
  "${apt[@]}" update </dev/null || echo "apt-get update failed; trying with the package lists at hand" >&2
  "${apt[@]}" install --no-install-recommends -y "${packages[@]}" </dev/null >/dev/null || {
    echo "apt-get could not install: ${packages[*]}" >&2
    return 1
  }
}
