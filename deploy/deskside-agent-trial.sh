#!/bin/sh
# After an upgrade: the new agent must run, and reach its server where the one before did. If it does not within its time, the one before is put
# back. DESKSIDE_TRIAL_S is that time in seconds.
set -eu

agent=/usr/bin/deskside-agent
kept=/var/lib/deskside-agent-trial
time_s=${DESKSIDE_TRIAL_S:-600}

say() { echo "$*"; }

end() {
    rm -f "$kept/deskside-agent" "$kept/connected" "$kept/server"
    exit 0
}

# What somebody at the machine sees too.
connected() {
    timeout 10 "$agent" status --json 2>/dev/null | grep -q '"connected_since_ms": *[0-9]'
}

running() {
    systemctl is-active --quiet deskside-agent && [ "$(systemctl show -P NRestarts deskside-agent)" -le "$restarts" ]
}

# Whether the agent before could reach the server from here, now.
reachable() {
    [ -s "$kept/server" ] && timeout 30 "$kept/deskside-agent" probe tcp "$(cat "$kept/server")" >/dev/null 2>&1
}

back() {
    say "$1; the version before is put back"
    install -m 755 "$kept/deskside-agent" "$agent.before"
    mv -f "$agent.before" "$agent"
    echo "$1" >"$kept/rolled-back"
    systemctl reset-failed deskside-agent 2>/dev/null || true
    systemctl restart deskside-agent
    end
}

[ -x "$kept/deskside-agent" ] || exit 0
rm -f "$kept/rolled-back"
restarts=$(systemctl show -P NRestarts deskside-agent)
waited=0
while :; do
    if [ -e "$kept/connected" ]; then
        if connected; then
            say "the new version is in contact with its server"
            end
        fi
    elif [ "$waited" -ge "$time_s" ] && running; then
        say "the new version runs; the one before was not in contact with its server either"
        end
    fi
    if [ "$waited" -ge "$time_s" ]; then
        running || back "the new version does not run"
        # Why wait on: a machine without its network says nothing about the version.
        if reachable; then
            back "the new version had no contact with its server in $time_s s, and the server answers"
        fi
    fi
    sleep 1
    waited=$((waited + 1))
done
