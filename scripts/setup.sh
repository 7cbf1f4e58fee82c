#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# setup.sh [check|test|fuzz|vm|package]: prepares this tree to run toascope, and also the checks,
# the tests, the fuzzers, or only the tests in guests. package: builds only the native parts, where
# npm has installed toascope as a package.
#
# As root, missing packages of the distribution are installed with apt; otherwise the script prints
# the command that installs them. Then it installs the npm packages of the lockfile, including a
# pinned Node, and builds the native parts, each only if its inputs have changed. It is plain sh,
# since the Node that runs npm can be too old for the rest. All output goes to stderr.
# Exit codes: 0 ready, 1 a step failed, 2 wrong usage, 3 a required package is missing.
set -u
exec 1>&2

goal=${1:-all}
case $goal in
all | check | test | fuzz | vm | package) ;;
*)
	echo 'usage: setup.sh [check|test|fuzz|vm|package]'
	exit 2
	;;
esac

cd -- "$(dirname -- "$0")/.." || exit 1
root=$(pwd)
# npm also runs this in the source tree, where the other goals do the work
[ "$goal" = package ] && [ -f scripts/install.sh ] && exit 0
tools=$root/build/tools
PATH=$tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH LC_ALL=C

say() { printf 'setup: %s\n' "$*"; }

# step NAME COMMAND...: prints one line, and the last lines of the log if the command fails.
step() {
	name=$1
	shift
	log=$root/build/setup-$(printf %s "$name" | tr -cs 'a-z0-9' - | cut -c1-40).log
	step_began=$(date +%s)
	printf 'setup: %s ... ' "$name"
	if "$@" >"$log" 2>&1 </dev/null; then
		printf 'done (%s s)\n' $(($(date +%s) - step_began))
		return 0
	fi
	printf 'failed (%s s)\n' $(($(date +%s) - step_began))
	tail -n 40 "$log" | sed 's/^/  | /'
	say "the whole log: $log"
	return 1
}

# attempt COMMAND...: tries the command up to three times, because it uses the network.
attempt() {
	for pause in 2 5 0; do
		"$@" && return 0
		sleep $pause
	done
	return 1
}

# --- packages of the distribution ---------------------------------------------------------------

# probe PROBE: runs a probe of scripts/packages.txt
probe() {
	case $1 in
	cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
	run:*) "${1#run:}" version >/dev/null 2>&1 ;;
	pkg:*)
		spec=${1#pkg:}
		pkg-config --atleast-version="${spec#*>=}" "${spec%%>=*}" 2>/dev/null
		;;
	link:*)
		spec=${1#link:}
		# the main() of a sanitizer's runtime, if it has one, replaces the weak one
		printf '%s\n' 'int LLVMFuzzerTestOneInput(void) { return 0; }' \
			'__attribute__((weak)) int main(void) { return 0; }' |
			"${spec%%:*}" "-fsanitize=${spec#*:}" -x c -o "$root/build/.linked" - 2>/dev/null
		status=$?
		rm -f "$root/build/.linked"
		return $status
		;;
	*) return 1 ;;
	esac
}

# Ubuntu installs a bpftool with the tools of each kernel, and the command on PATH fails if there is
# none for the running kernel. Any of them works.
link_bpftool() {
	probe run:bpftool && return
	for candidate in /usr/lib/linux-tools/*/bpftool /usr/lib/linux-tools-*/bpftool; do
		if [ -x "$candidate" ] && "$candidate" version >/dev/null 2>&1; then
			mkdir -p "$tools/bin"
			ln -sf "$candidate" "$tools/bin/bpftool"
			hash -r
			return
		fi
	done
}

# missing COLUMN [KIND]: prints the packages for KIND (by default the goal) whose probe fails, from
# the column apt, dnf or zypper; with the column probe, the names in these probes
missing() {
	while read -r when probe apt dnf zypper; do
		case $when in "" | \#*) continue ;; esac
		[ "$when" = all ] || [ "$when" = "${2:-$goal}" ] || continue
		probe "$probe" && continue
		case $1 in
		probe) echo "${probe#*:}" ;;
		apt) echo "$apt" ;;
		dnf) echo "$dnf" ;;
		zypper) echo "$zypper" ;;
		esac
	done <scripts/packages.txt | sort -u | tr '\n' ' ' | sed 's/ *$//'
}

# apt_choose PACKAGES: prints, of each list of alternatives, the first that the archive has.
apt_choose() {
	for names in $1; do
		chosen=${names%%|*}
		for name in $(printf %s "$names" | tr '|' ' '); do
			if apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]'; then
				chosen=$name
				break
			fi
		done
		printf '%s ' "$chosen"
	done
}

apt_get() {
	# 9 is the lock, which services that a package starts must not inherit
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -y -q -o Acquire::Retries=3 \
		-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o DPkg::Lock::Timeout=180 "$@" 9>&-
}

apt_install() {
	attempt apt_get update || echo 'apt-get update failed; using the existing package lists'
	# shellcheck disable=SC2046  # one word for each package
	attempt apt_get install --no-install-recommends $(apt_choose "$1")
}

fail_missing() {
	say "missing on this machine: $(missing probe)"
	apt=$(apt_choose "$(missing apt)")
	found=
	for family in apt-get dnf zypper; do
		command -v $family >/dev/null 2>&1 && found="$found $family"
	done
	for family in ${found:-apt-get dnf zypper}; do
		case $family in
		apt-get) say "  Debian 12, Ubuntu 24.04 or later:  sudo apt-get install $apt" ;;
		dnf) say "  Fedora, RHEL, CentOS Stream:  sudo dnf install $(missing dnf)" ;;
		zypper) say "  openSUSE, SUSE:  sudo zypper install $(missing zypper)" ;;
		esac
	done
	exit 3
}

install_packages() {
	link_bpftool
	wanted=$(missing apt)
	[ -z "$wanted" ] && return
	if [ "$goal" = package ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		fail_missing
	fi
	step "apt: $(printf %s "$wanted" | sed 's/|[^ ]*//g')" apt_install "$wanted" || fail_missing
	hash -r
	link_bpftool
	[ -z "$(missing probe)" ] || fail_missing
}

# optional_packages KIND TESTS: installs the packages of KIND. If that is not possible, the tests
# that TESTS describes are skipped, and the others run.
optional_packages() {
	wanted=$(missing apt "$1")
	[ -z "$wanted" ] && return
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		say "not installed: $(missing probe "$1"); the tests $2 are skipped"
	elif ! step "apt, for the tests $2: $wanted" apt_install "$wanted"; then
		say "the tests $2 are skipped"
	fi
	hash -r
}

# --- servers that the tests use -----------------------------------------------------------------

# The servers are unpacked under build/ and not installed, since an installation would start their
# services. build/tools/bin has each under its name, whether it is installed or unpacked.
fetch_tools() {
	rm -rf "$tools/debs"
	mkdir -p "$tools/debs/partial" "$tools/root" "$tools/bin"
	names=$1
	fetch() {
		# shellcheck disable=SC2086  # one word for each package
		apt_get install --no-install-recommends --download-only -o Dir::Cache::archives="$tools/debs" \
			-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" $names
	}
	fetch || { attempt apt_get update && attempt fetch; } || return 1
	for deb in "$tools"/debs/*.deb; do
		dpkg-deb -x "$deb" "$tools/root" || return 1
	done
	rm -rf "$tools/debs" "$tools/root/usr/share"
	for name in nginx haproxy apache2 prometheus promtool vsftpd sshd; do
		file=$tools/root/usr/sbin/$name
		[ -x "$file" ] || file=$tools/root/usr/bin/$name
		[ -x "$file" ] || continue
		cat >"$tools/bin/$name" <<-END
			#!/bin/sh
			root=\$(dirname -- "\$0")/../root
			LD_LIBRARY_PATH=\$root/usr/lib/$(cc -dumpmachine):\$root/lib/$(cc -dumpmachine)
			export LD_LIBRARY_PATH
			exec "\$root/${file#"$tools/root/"}" "\$@"
		END
		chmod +x "$tools/bin/$name"
	done
}

install_test_servers() {
	wanted=
	for pair in nginx:nginx haproxy:haproxy apache2:apache2-bin prometheus:prometheus promtool:prometheus \
		vsftpd:vsftpd sshd:openssh-server; do
		name=${pair%:*}
		[ -x "$tools/bin/$name" ] && continue
		rm -f "$tools/bin/$name"
		if own=$(command -v "$name"); then
			mkdir -p "$tools/bin"
			ln -s "$own" "$tools/bin/$name"
		else
			case " $wanted " in *" ${pair#*:} "*) ;; *) wanted="${wanted:+$wanted }${pair#*:}" ;; esac
		fi
	done
	[ -z "$wanted" ] && return
	if ! command -v apt-get >/dev/null 2>&1; then
		say "not installed: $wanted; the tests that use it are skipped"
	elif ! step "for the tests, unpacked and not installed: $wanted" fetch_tools "$wanted"; then
		say "the tests that use $wanted are skipped"
	fi
}

# --- npm packages -------------------------------------------------------------------------------

install_npm_packages() {
	stamp=node_modules/.toascope-setup
	inputs="$(uname -m) $(sha256sum <package-lock.json)"
	# an installation by an older Node can lack the bundler's native part
	[ -f $stamp ] && [ "$(cat $stamp)" = "$inputs" ] && ls -d node_modules/@rolldown/binding-* >/dev/null 2>&1 && return
	step 'npm packages' sh scripts/install.sh || exit 1
	printf '%s\n' "$inputs" >$stamp
}

# --- native parts -------------------------------------------------------------------------------

compile() {
	bpftool=$(command -v bpftool)
	# CMake caches the first paths that it found, which are wrong after the tree was moved or copied,
	# or for another bpftool
	if ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" build/CMakeCache.txt ||
		! grep -q "^BPFTOOL:[A-Z]*=$bpftool\$" build/CMakeCache.txt; then
		rm -rf build/CMakeCache.txt build/CMakeFiles
	fi
	cmake_js=node_modules/cmake-js/bin/cmake-js
	[ -f $cmake_js ] || cmake_js=../cmake-js/bin/cmake-js
	sh scripts/node.sh $cmake_js build -G 'Unix Makefiles' -p "$(nproc)" --CDBPFTOOL="$bpftool"
}

build_native() {
	stamp=build/.native
	inputs=$({
		printf '%s\n' "$root" "$(uname -m)"
		for part in bench bpf kernel/toa_option.h kernel/toa_rules.h native CMakeLists.txt package-lock.json scripts/setup.sh; do
			[ -e $part ] && find $part -type f ! -name '*.ts' -exec sha256sum {} +
		done | sort
	} | sha256sum)
	[ -f build/Release/toascope.node ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$inputs" ] && return
	rm -f $stamp
	step 'native parts' compile || exit 1
	printf '%s\n' "$inputs" >$stamp
}

mkdir -p build
if [ ! -w build ]; then
	say "$root/build is not writable by this user"
	exit 1
fi
# the demo and the tests can be started at the same time
if command -v flock >/dev/null 2>&1; then
	exec 9>build/.setup.lock || exit 1
	flock -n 9 || {
		say 'waiting for another setup of this tree'
		flock 9
	}
fi
began=$(date +%s)
install_packages
[ "$goal" = package ] || install_npm_packages
build_native
if [ "$goal" = test ]; then
	install_test_servers
	optional_packages vm 'in guests'
	optional_packages lld 'of @toascope/node for other architectures'
	for version in 16 19 22; do
		optional_packages "clang-$version" "with clang $version"
	done
fi
[ "$goal" = vm ] && optional_packages vm-arm64 'in guests for arm64'
say "ready ($(($(date +%s) - began)) s)"
