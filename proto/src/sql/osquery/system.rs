//! osquery's tables of the operating system: what it is, how long it runs, what runs on it, who uses it.

use super::View;

pub(super) const VIEWS: &[View] = &[
    View {
        name: "os_version",
        columns: "t.pretty_name AS name, t.version_id AS version, CAST(t.version_id AS INTEGER) AS major, \
                  CASE WHEN instr(t.version_id, '.') THEN \
                  CAST(substr(t.version_id, instr(t.version_id, '.') + 1) AS INTEGER) ELSE 0 END AS minor, \
                  0 AS patch, t.id AS platform, t.architecture AS arch",
        unfilled: "build platform_like codename extra",
        from: "{os} t",
    },
    View {
        name: "kernel_info",
        columns: "t.kernel AS version, b.command_line AS arguments",
        unfilled: "path device",
        from: "{os} t LEFT JOIN {boot} b ON {same b}",
    },
    View {
        name: "uptime",
        columns: "t.uptime_s / 86400 AS days, t.uptime_s % 86400 / 3600 AS hours, t.uptime_s % 3600 / 60 AS minutes, \
                  t.uptime_s % 60 AS seconds, t.uptime_s AS total_seconds",
        unfilled: "",
        from: "{boot} t",
    },
    View {
        name: "time",
        columns: "substr('SunMonTueWedThuFriSat', 1 + 3 * strftime('%w', ms('now') / 1000, 'unixepoch'), 3) AS weekday, \
                  CAST(strftime('%Y', ms('now') / 1000, 'unixepoch') AS INTEGER) AS year, \
                  CAST(strftime('%m', ms('now') / 1000, 'unixepoch') AS INTEGER) AS month, \
                  CAST(strftime('%d', ms('now') / 1000, 'unixepoch') AS INTEGER) AS day, \
                  CAST(strftime('%H', ms('now') / 1000, 'unixepoch') AS INTEGER) AS hour, \
                  CAST(strftime('%M', ms('now') / 1000, 'unixepoch') AS INTEGER) AS minutes, \
                  CAST(strftime('%S', ms('now') / 1000, 'unixepoch') AS INTEGER) AS seconds, \
                  'UTC' AS timezone, ms('now') / 1000 AS unix_time, \
                  strftime('%Y-%m-%dT%H:%M:%SZ', ms('now') / 1000, 'unixepoch') AS datetime, \
                  strftime('%Y-%m-%dT%H:%M:%SZ', ms('now') / 1000, 'unixepoch') AS iso_8601",
        unfilled: "local_timezone timestamp",
        from: "",
    },
    View {
        name: "processes",
        columns: "t.pid AS pid, t.name AS name, t.command_line AS cmdline, t.state AS state, \
                  t.resident_bytes AS resident_size, t.started_ms / 1000 AS start_time, t.parent_pid AS parent, \
                  t.threads AS threads",
        unfilled: "path cwd root uid gid euid egid suid sgid on_disk wired_size total_size user_time system_time \
                   disk_bytes_read disk_bytes_written pgroup nice",
        from: "{processes} t",
    },
    View {
        name: "logged_in_users",
        columns: "CASE WHEN t.class = 'user' THEN 'user' ELSE t.class END AS type, t.user AS user, t.tty AS tty, \
                  t.remote_host AS host, t.since_ms / 1000 AS time",
        unfilled: "pid",
        from: "{users} t",
    },
    View {
        name: "systemd_units",
        columns: "t.name AS id, t.description AS description, t.load_state AS load_state, \
                  t.active_state AS active_state, t.sub_state AS sub_state, t.enabled AS unit_file_state",
        unfilled: "following object_path job_id job_type job_path fragment_path user source_path",
        from: "{services} t",
    },
    View {
        name: "load_average",
        columns: "c.period AS period, CASE c.period WHEN '1m' THEN t.load_1 WHEN '5m' THEN t.load_5 \
                  ELSE t.load_15 END AS average",
        unfilled: "",
        from: "{load} t JOIN (SELECT '1m' AS period UNION ALL SELECT '5m' UNION ALL SELECT '15m') c",
    },
    View {
        name: "memory_info",
        columns: "t.total_bytes AS memory_total, t.available_bytes AS memory_available, t.cached_bytes AS cached, \
                  t.swap_total_bytes AS swap_total, t.swap_total_bytes - t.swap_used_bytes AS swap_free",
        unfilled: "memory_free buffers swap_cached active inactive",
        from: "{memory} t",
    },
    View {
        name: "mounts",
        columns: "t.source AS {device}, t.mount_point AS path, t.type AS type, 1 AS blocks_size, \
                  f.total_bytes AS blocks, f.available_bytes AS blocks_available, f.inodes_total AS inodes, \
                  f.inodes_free AS inodes_free, \
                  (SELECT group_concat(option.value, ',') FROM json_each(t.options) option) AS flags",
        unfilled: "device_alias blocks_free",
        from: "(SELECT * FROM {mounts} WHERE mounted) t \
               LEFT JOIN {filesystems} f ON f.mount_point = t.mount_point AND {same f}",
    },
    View {
        name: "syslog_events",
        columns: "t.at_ms / 1000 AS time, \
                  strftime('%Y-%m-%dT%H:%M:%SZ', t.at_ms / 1000, 'unixepoch') AS datetime, \
                  t.priority AS severity, t.program AS tag, t.message AS message",
        unfilled: "host facility eid",
        from: "{log_events} t",
    },
    View {
        name: "osquery_info",
        columns: "t.version AS version, ms('now') / 1000 - t.uptime_s AS start_time, 'deskside' AS build_distro",
        unfilled: "pid uuid instance_id config_hash config_valid extensions build_platform watcher platform_mask",
        from: "{agent} t",
    },
];
