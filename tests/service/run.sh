#!/bin/sh
# What an administrator does with the service, from install to purge, on a booted Debian. Every step
# says `GUEST PASS` or `GUEST FAIL`; the host holds them against its list. Needs no network but lo.
set -u

here=$(dirname "$0")
config=/etc/dispa/dispa.toml
unit=dispa.service
# Where one.example and two.example are, as everybody's resolver says.
origin=203.0.113.10
failures=0
passed=0

# --- saying how it went ---------------------------------------------------------------------------

step() {
    name=$1
    shift
    if said=$(set -e; "$@" 2>&1); then
        echo "GUEST PASS $name"
        passed=$((passed + 1))
    else
        echo "GUEST FAIL $name"
        failures=$((failures + 1))
        echo "$said" | sed 's/^/    /'
        journalctl --no-pager --unit $unit | tail -n 30 | sed 's/^/    /'
    fi
    echo "$said" | grep '^figure: ' || true
}

fail() {
    echo "$*"
    return 1
}

# Tries a command until it is true, for half a minute of the guest's time at least.
until_true() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 60 ] || fail "never came true: $*" || return 1
        sleep 0.5
    done
}

# --- looking --------------------------------------------------------------------------------------

answer() {
    curl --silent --show-error --max-time 20 "http://${1:-one.example}/"
}

answered_by() {
    got=$(answer "${2:-one.example}") && [ "$got" = "$1" ] || fail "'$got' answered, not $1"
}

main_process() {
    systemctl show --property MainPID --value $unit
}

is_another() {
    now=$(main_process)
    [ "$now" != 0 ] && [ "$now" != "$1" ]
}

of_status() {
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

programs() {
    bpftool prog show | grep ' dispa_' || true
}

nothing_in_the_kernel() {
    [ -z "$(programs)" ] || fail "programs are left: $(programs)"
    routes=$(ip -6 route show table local | grep '^local fd64:6973:7061' || true)
    [ -z "$routes" ] || fail "a route is left: $routes"
    [ ! -e /sys/fs/cgroup/system.slice/$unit ] || fail "its cgroup is left"
}

# --- the steps ------------------------------------------------------------------------------------

boots() {
    until_true test "$(systemctl show --property Version --value)"
    ip address add $origin/32 dev lo
    echo "$origin one.example two.example" >>/etc/hosts
    systemd-run --quiet --unit origin python3 "$here/server.py" origin $origin 80
    systemd-run --quiet --unit backend python3 "$here/server.py" backend 127.0.0.1 3000
    until_true answered_by origin
}

installs() {
    dpkg --install "$here/first.deb"
    systemctl is-enabled $unit
    systemctl is-active $unit
    [ "$(of_status "$(main_process)" Uid | cut -f 1)" = "$(id -u dispa)" ]
}

intercepts_nothing_yet() {
    answered_by origin
    [ -z "$(programs)" ] || fail "$(programs)"
    others=$(ss -Hltnp | grep dispa | awk '{ print $4 }' | grep -v -e '^127\.0\.0\.1:' -e '^\[::1\]:' || true)
    [ -z "$others" ] || fail "it listens on $others"
}

keeps_files_to_itself() {
    [ "$(stat -c '%a %U:%G' $config)" = '640 root:dispa' ]
    for directory in /var/lib/dispa /var/log/dispa /run/dispa; do
        [ "$(stat -c '%a %U:%G' $directory)" = '750 dispa:dispa' ] || fail "$(stat $directory)"
    done
    open=$(find /etc/dispa /var/lib/dispa /var/log/dispa /run/dispa -perm /007 -type f)
    [ -z "$open" ] || fail "anybody may read $open"
}

intercepts_when_told() {
    cat "$here/config.toml" >$config
    dispa check $config
    systemctl restart $unit
    answered_by backend
    answered_by origin two.example
}

attaches_at_the_root_under_the_sandbox() {
    bpftool cgroup show /sys/fs/cgroup | grep dispa_connect4
    main=$(main_process)
    [ "$(of_status "$main" NoNewPrivs)" = 1 ] || fail "it may gain privileges"
    [ "$(of_status "$main" Seccomp)" = 2 ] || fail "no system call is forbidden"
    [ "$(of_status "$main" CapEff)" = 0000000000000000 ] || fail "it holds capabilities"
    # As root, so that nothing but the sandbox can forbid it.
    for place in /usr /etc/dispa /sys/fs/cgroup; do
        if nsenter --target "$main" --mount mkdir $place/made; then fail "it may write to $place"; fi
    done
}

# Another user's process: its executable and its unit, from the root of all cgroups down.
knows_who_asked() {
    systemd-run --quiet --wait --unit asker --uid nobody curl --silent --output /dev/null http://one.example/asker
    until_true grep -r /asker /var/log/dispa
    grep -rh /asker /var/log/dispa | tee /root/asker
    grep -q '"executable":"/usr/bin/curl"' /root/asker
    grep -q '"unit":"asker.service"' /root/asker
    grep -q '"cgroup":"/system.slice/asker.service"' /root/asker
}

reloads() {
    sed -i 's/"one.example"/"one.example", "two.example"/' $config
    before=$(main_process)
    systemctl reload $unit
    # Its addresses are asked for beside the traffic.
    until_true answered_by backend two.example
    [ "$(main_process)" = "$before" ]
}

refuses_a_wrong_configuration() {
    cp $config /root/right.toml
    echo 'nonsense = [' >>$config
    if systemctl reload $unit; then fail "it was taken"; fi
    cat /root/right.toml >$config
    systemctl is-active $unit
    systemctl reload $unit
    answered_by backend
}

# Runs a command while somebody asks and asks; prints who answered how often.
under_load() {
    rm -f /root/enough
    python3 "$here/load.py" one.example $origin /root/enough >/root/load.txt &
    sleep 3
    "$@"
    sleep 3
    touch /root/enough
    wait
    echo "figure: $*: $(cat /root/load.txt)"
}

nobody_was_failed() {
    if grep -e failed -e refused /root/load.txt; then fail "somebody got no answer"; fi
}

# Installs a package while the service runs: the new program takes over, and nobody notices.
upgrades() {
    before=$(main_process)
    under_load dpkg --install "$1"
    is_another "$before" || fail "the old program runs"
    grep -q '^backend=[0-9]*$' /root/load.txt
    systemctl is-active $unit
}

upgrades_without_a_gap() {
    upgrades "$here/second.deb"
    dpkg-query --show --showformat '${Version}\n' dispa | grep again
    [ "$(systemctl show --property NRestarts --value $unit)" = 0 ] || fail "it was restarted"
}

survives_a_crash() {
    before=$(main_process)
    kill -KILL "$before"
    answered_by origin
    until_true is_another "$before"
    until_true answered_by backend
    [ "$(systemctl show --property NRestarts --value $unit)" = 1 ]
}

survives_a_hang() {
    before=$(main_process)
    kill -STOP "$before"
    sleep 2
    answered_by origin
    until_true is_another "$before"
    until_true answered_by backend
    journalctl --unit $unit | grep -q 'Watchdog timeout'
}

# A successor is no child of systemd's, and must be given its time all the same.
restarts_after_an_upgrade() {
    upgrades "$here/first.deb"
    successor=$(main_process)
    under_load systemctl restart $unit
    nobody_was_failed
    journalctl _PID="$successor" | grep -q 'dispa\[[0-9]*\]: stopped' || fail "it was killed"
    answered_by backend
}

stops() {
    under_load systemctl stop $unit
    nobody_was_failed
    answered_by origin
    nothing_in_the_kernel
}

leaves_nothing_when_killed() {
    systemctl start $unit
    answered_by backend
    mkdir -p /run/systemd/system/$unit.d
    printf '[Service]\nRestart=no\n' >/run/systemd/system/$unit.d/once.conf
    systemctl daemon-reload
    systemctl kill --signal KILL $unit
    until_true systemctl is-failed $unit
    nothing_in_the_kernel
    answered_by origin
    rm -r /run/systemd/system/$unit.d
    systemctl daemon-reload
    systemctl reset-failed $unit
}

removes() {
    systemctl start $unit
    dpkg --remove dispa
    answered_by origin
    [ -e $config ]
    nothing_in_the_kernel
    if systemctl is-active $unit; then fail "it runs"; fi
}

purges() {
    dpkg --install "$here/first.deb"
    until_true answered_by backend
    dpkg --purge dispa
    answered_by origin
    nothing_in_the_kernel
    left=$(find / -xdev -iname '*dispa*' -not -path "$here/*" -not -name 'dispa-test*')
    [ -z "$left" ] || fail "files are left: $left"
    if getent passwd dispa || getent group dispa; then fail "its user is left"; fi
    units=$(systemctl list-units --all --no-legend 'dispa.*')
    [ -z "$units" ] || fail "systemd remembers: $units"
}

lives_in_opt() {
    tar -xzf "$here/dispa.tar.gz" -C /opt
    cd /opt/dispa
    systemd-sysusers /opt/dispa/share/systemd/dispa.sysusers
    cp share/systemd/dispa.service /etc/systemd/system/
    mkdir -p /etc/systemd/system/$unit.d
    cp share/systemd/opt.conf /etc/systemd/system/$unit.d/
    install -d -o dispa -g dispa logs data
    sed 's|^directory = .*|directory = "./logs"|' "$here/config.toml" >config/config.toml
    systemctl daemon-reload
    systemctl start $unit
    answered_by backend
    until_true sh -c 'ls /opt/dispa/logs | grep .'
    systemctl stop $unit
    nothing_in_the_kernel
}

echo "GUEST KERNEL $(uname -r)"
step boots boots
step installs installs
step intercepts-nothing-yet intercepts_nothing_yet
step keeps-files-to-itself keeps_files_to_itself
step intercepts-when-told intercepts_when_told
step attaches-at-the-root-under-the-sandbox attaches_at_the_root_under_the_sandbox
step knows-who-asked knows_who_asked
step reloads reloads
step refuses-a-wrong-configuration refuses_a_wrong_configuration
step upgrades-without-a-gap upgrades_without_a_gap
step survives-a-crash survives_a_crash
step survives-a-hang survives_a_hang
step restarts-after-an-upgrade restarts_after_an_upgrade
step stops stops
step leaves-nothing-when-killed leaves_nothing_when_killed
step removes removes
step purges purges
step lives-in-opt lives_in_opt
echo "GUEST DONE $passed passed, $failures failed"
