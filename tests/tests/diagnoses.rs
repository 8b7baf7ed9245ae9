//! The diagnoses of hardware, printing and logs that a technician makes: each has the columns that it needs, and a rule that makes it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use deskside_proto::catalog;
use deskside_server::diagnose::rules;

/// Name, symptom, columns that it is made from, and rules that make it.
type Diagnosis = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const HARDWARE: &[Diagnosis] = &[
    (
        "H01",
        "slow reads, programs hang: a disk has sectors that it cannot read",
        &[
            "disk_health.reallocated_sectors",
            "disk_health.reallocated_sectors_gained",
            "disk_health.reported_uncorrectable_errors",
            "disk_health.pending_sectors",
            "disk_health.offline_uncorrectable_sectors",
            "disk_health.command_timeouts",
            "disk_attributes.raw",
        ],
        &["disk-unreadable-sectors", "disk-bad-sectors", "disk-command-timeouts"],
    ),
    ("H02", "a disk expects to fail", &["disk_health.passed", "disk_health.exit_bits"], &["disk-failing"]),
    (
        "H03",
        "an SSD went read-only",
        &[
            "disk_health.critical_warning",
            "disk_health.critical_warnings",
            "disk_health.available_spare_percent",
            "disk_health.available_spare_threshold_percent",
        ],
        &["disk-nvme-failing"],
    ),
    (
        "H04",
        "an SSD is worn",
        &["disk_health.percentage_used", "disk_health.media_errors", "disk_health.media_errors_gained"],
        &["disk-worn-out", "disk-wearing-out", "disk-media-errors"],
    ),
    (
        "H05",
        "sporadic errors of a good disk: its cable",
        &["disk_health.interface_crc_errors", "disk_health.interface_crc_errors_gained", "log_events.message"],
        &["disk-cable", "disk-cable-in-log"],
    ),
    ("H06", "freezes of half a minute", &["log_events.message", "disks.firmware"], &["disk-resets-in-log"]),
    (
        "H07",
        "file errors: bad media or an unclean end",
        &["disk_self_tests.passed", "disk_errors.lba", "log_events.message", "boots.ended"],
        &["disk-self-test-failed", "filesystem-errors-in-log"],
    ),
    (
        "H08",
        "\"Read-only file system\"",
        &["mounts.read_only", "mounts.fstab_options", "mounts.remounted_read_only"],
        &["mount-remounted-read-only"],
    ),
    (
        "H09",
        "sudden restarts: the processor reports errors",
        &["machine_checks.bank", "machine_checks.severity", "machine_checks.last_day", "firmware.microcode"],
        &["machine-check-uncorrected", "machine-check-corrected"],
    ),
    (
        "H10",
        "corruption: a memory module with ECC",
        &[
            "memory_errors.corrected",
            "memory_errors.uncorrected",
            "memory_errors.looks_with_more",
            "memory_errors.label",
        ],
        &["memory-errors-uncorrected", "memory-errors-corrected"],
    ),
    (
        "H11",
        "glitches of network, graphics or disk: the PCI Express link",
        &["pcie_errors.address", "pcie_errors.correctable", "pcie_errors.correctable_an_hour"],
        &["pcie-errors", "pcie-errors-storm"],
    ),
    (
        "H12",
        "random crashes: memory without ECC",
        &["crashes.kind", "crashes.frame", "crashes.module", "memory_modules.part", "memory_modules.error_correction"],
        &["kernel-fault"],
    ),
    (
        "H13",
        "\"it just went off\"",
        &["boots.ended", "boots.how", "boots.reason", "power.online", "power.alarms", "batteries.status"],
        &["went-off", "goes-off"],
    ),
    (
        "H14",
        "hot and slow",
        &[
            "cpu_throttling.recent_throttles",
            "cpu_throttling.recent_throttled_ms",
            "temperatures.temperature_celsius",
            "temperatures.critical_celsius",
            "fans.rpm",
        ],
        &["cpu-throttled", "cpu-too-hot", "part-too-hot", "fan-stands-while-hot", "went-off-too-hot"],
    ),
    (
        "H15",
        "the battery does not last",
        &["batteries.health_percent", "batteries.cycles", "batteries.condition"],
        &["battery-worn-out", "battery-worn"],
    ),
    (
        "H16",
        "black flashes of the screen",
        &["gpus.hangs", "gpus.last_hang", "gpus.driver_version", "monitors.problem"],
        &["gpu-lost", "gpu-hangs"],
    ),
    (
        "H17",
        "USB or the dock drops out",
        &["usb_devices.disconnects_worst_hour", "usb_devices.errors_last_day", "usb_devices.over_currents"],
        &["usb-drops", "usb-over-current"],
    ),
    (
        "H18",
        "a device does not work",
        &["pci_devices.driver", "pci_devices.problems", "pci_devices.firmware_missing", "usb_devices.drivers"],
        &["device-without-driver", "device-without-firmware", "firmware-missing"],
    ),
];

const PRINTING: &[Diagnosis] = &[
    (
        "P01",
        "the queue is stopped",
        &[
            "printers.state",
            "printers.state_reasons",
            "printers.state_message",
            "printers.error_policy",
            "printers.paused_by",
            "print_devices.port_631",
            "print_devices.port_9100",
            "print_devices.port_515",
        ],
        &["print-queue-stopped", "print-path-broken"],
    ),
    (
        "P02",
        "jobs wait for ever: the printer is off or has another address",
        &[
            "printers.device_uri",
            "printers.uuid",
            "print_devices.reachable",
            "print_devices.announced_addresses",
            "print_devices.address_changed",
        ],
        &["print-device-unreachable", "print-device-connecting", "printer-moved", "printer-silent-with-jobs"],
    ),
    (
        "P03",
        "no paper",
        &[
            "printers.troubles",
            "print_devices.detected_errors",
            "print_trays.level",
            "print_trays.empty",
            "printers.media_ready",
        ],
        &["print-device-needs-a-hand", "printer-needs-a-hand"],
    ),
    (
        "P04",
        "jam or open door",
        &["print_devices.state_reasons", "print_devices.detected_errors", "print_alerts.code", "print_alerts.group"],
        &["print-device-needs-a-hand", "printer-needs-a-hand", "printer-asks-for-service", "printer-alert"],
    ),
    (
        "P05",
        "faint: toner is low, or the waste box is full",
        &[
            "print_supplies.percent_left",
            "print_supplies.percent_full",
            "print_supplies.receptacle",
            "print_supplies.level_said",
            "print_supplies.part_number",
        ],
        &["print-device-warns", "printer-supply-low", "printer-waste-box-full"],
    ),
    (
        "P06",
        "the job is held",
        &["print_jobs.state_reasons", "print_jobs.hold_until", "printers.auth_info_required"],
        &["print-job-needs-a-password"],
    ),
    (
        "P07",
        "the job vanishes",
        &["print_jobs.state_reasons", "print_jobs.message", "printers.driver"],
        &["print-job-filter-failed"],
    ),
];

/// What `wpa_supplicant` and the kernel say stands for Windows' WLAN-AutoConfig and Netwtw events, which only Windows writes.
const REACH: &[Diagnosis] = &[
    (
        "N07",
        "calls break up: loss or delay, local or upstream",
        &[
            "ping.loss_percent",
            "ping.p95_ms",
            "ping.jitter_ms",
            "ping.gateway",
            "trace.loss_percent",
            "trace.way",
            "trace.broken_at",
            "neighbors.state",
        ],
        &["reach-gateway-poor", "reach-way-broken", "reach-target-poor"],
    ),
    (
        "N14",
        "small pages work and large ones hang: an MTU black hole",
        &["mtu.link_mtu", "mtu.path_mtu", "mtu.black_hole", "mtu.size", "tcp.segment_bytes"],
        &["reach-mtu-black-hole"],
    ),
];

const RADIO: &[Diagnosis] = &[
    (
        "N08",
        "slow Wi-Fi",
        &[
            "wifi.signal",
            "wifi.signal_dbm",
            "wifi.rate",
            "wifi.tx_mcs",
            "wifi.retries",
            "wifi.retry_percent",
            "wifi.channel_busy_percent",
            "wifi_link.signal_dbm",
            "wifi_scan.channel",
        ],
        &["wifi-weak-signal", "wifi-slow"],
    ),
    (
        "N09",
        "drops when walking",
        &["wifi.better_bssid", "wifi.better_by_db", "wifi.roaming", "wifi_events.kind", "wifi_events.worst_hour"],
        &["wifi-roams-often", "wifi-sticky", "wifi-drops-often"],
    ),
    (
        "N10",
        "cannot join Wi-Fi",
        &["wifi_events.code", "wifi_events.reason", "wifi_events.ssid", "wifi.state", "wifi.manager_reason"],
        &["wifi-wrong-password", "wifi-eap-failed", "wifi-refused"],
    ),
    ("N11", "the Wi-Fi adapter resets", &["wifi_events.example", "wifi.power_save"], &["wifi-firmware-crash"]),
];

/// How the network is set up. What Windows writes of it (Dhcp-Client, DNS-Client, `WinHTTP`) only Windows has.
const NETWORK: &[Diagnosis] = &[
    (
        "N01",
        "no network: no address",
        &["addresses.link_local", "addresses.source", "dhcp.state", "interfaces.carrier"],
        &["network-link-local-only", "dhcp-no-answer"],
    ),
    (
        "N02",
        "wrong subnet",
        &["dhcp.server", "dhcp.server_before", "dhcp.other_servers", "dhcp.router_outside"],
        &["dhcp-router-outside", "dhcp-second-server"],
    ),
    ("N03", "intermittent loss: an address twice", &["addresses.flags"], &["network-duplicate-address"]),
    (
        "N04",
        "pages do not resolve",
        &["dns.target", "dns.transport", "dns.rcode", "dns.asked", "dns.answered"],
        &["dns-does-not-answer", "dns-server-dead"],
    ),
    (
        "N05",
        "everything is slow to start",
        &["resolvers.unreachable", "resolvers.current", "resolvers.ignored", "dns.took_ms", "dns.slowest_ms"],
        &["resolver-unreachable", "resolvers-ignored", "dns-slow"],
    ),
    (
        "N06",
        "internal names fail",
        &[
            "resolvers.interface",
            "resolvers.kind",
            "name_resolution.resolv_conf_mode",
            "dhcp.name_servers",
            "vpn.name_servers",
            "dns.rcode",
            "dns.answers",
        ],
        &["resolver-not-of-dhcp", "resolver-split-bypassed", "dns-answers-wrong"],
    ),
    ("N07", "calls break: the router", &["neighbors.state", "neighbors.gateway"], &["network-gateway-silent"]),
    (
        "N15",
        "\"connected, no internet\"",
        &["captive.problem", "captive.status", "captive.location"],
        &["captive-portal"],
    ),
    (
        "N16",
        "only some programs work",
        &["proxies.host", "proxies.consumer", "proxies.scheme", "http.way", "http.status", "http.took_ms"],
        &["proxy-differs", "proxy-fails"],
    ),
    ("N17", "TLS errors in one program", &["tls.issuer", "tls.local_root"], &["tls-intercepted"]),
];

/// What the logs and what stands beside them tell. Of Windows alone, and so not here: L07 (the bug check of a blue screen, which the decoder
/// names), and of L05, L10, L11 and L13 the numbers of its event log.
const LOGS: &[Diagnosis] = &[
    (
        "L01",
        "cannot save: a disk is full",
        &["filesystems.used_percent", "error_signatures.codes", "log_events.message"],
        &["filesystem-full", "filesystem-nearly-full", "no-space-in-log"],
    ),
    (
        "L02",
        "\"no space\" with gigabytes free: no inodes are left",
        &["filesystems.inodes_free", "error_signatures.codes"],
        &["filesystem-inodes", "no-space-in-log"],
    ),
    ("L03", "programs are killed: memory ran out", &["crashes.kind", "crashes.program"], &["killed-for-memory"]),
    (
        "L05",
        "a service starts again and again",
        &["services.restarts", "services.result"],
        &["service-restart-loop", "service-gave-up"],
    ),
    ("L06", "a program crashes in the same place", &["crashes.frame", "crashes.module"], &["program-crashes"]),
    (
        "L08",
        "the kernel failed or stood still",
        &["crashes.kind", "crashes.frame", "log_events.message"],
        &["kernel-fault", "tasks-hung"],
    ),
    (
        "L10",
        "updates fail, or something is odd since one",
        &["updates.last_failure_ms", "error_signatures.new_since_update", "error_signatures.hourly_peak"],
        &["updates-fail", "error-new-since-update"],
    ),
    (
        "L11",
        "logging on to the domain fails",
        &["error_signatures.codes", "error_signatures.template"],
        &["domain-controller-not-found", "domain-trust-lost"],
    ),
    (
        "L12",
        "Kerberos or TLS fails: the clock is wrong",
        &["time_sync.offset_ms", "error_signatures.codes", "ntp.offset_ms"],
        &["kerberos-clock-skew", "clock-far-from-source", "clock-wrong", "ntp-clock-refused", "ntp-clock-off"],
    ),
    (
        "L13",
        "a certificate has expired or is not accepted",
        &["certificates.not_after_ms", "log_events.message", "tls.not_after_ms", "tls.problem"],
        &[
            "certificate-expired",
            "certificate-ends-soon",
            "certificate-errors-in-log",
            "tls-not-trusted",
            "tls-ends-soon",
        ],
    ),
];

#[test]
fn each_diagnosis_finds_its_columns_in_the_catalogue() {
    for (name, symptom, columns, _rules) in
        HARDWARE.iter().chain(PRINTING).chain(REACH).chain(RADIO).chain(NETWORK).chain(LOGS)
    {
        for place in *columns {
            let (table, column) = place.split_once('.').unwrap();
            let schema = catalog::table(table).unwrap_or_else(|| panic!("{name} ({symptom}): no table {table}"));
            assert!(catalog::column(schema, column).is_some(), "{name} ({symptom}): no column {place}");
        }
    }
}

#[test]
fn each_diagnosis_is_made_by_a_rule() {
    for (name, symptom, _columns, made_by) in
        HARDWARE.iter().chain(PRINTING).chain(REACH).chain(RADIO).chain(NETWORK).chain(LOGS)
    {
        assert!(!made_by.is_empty(), "{name} ({symptom}): no rule");
        for rule in *made_by {
            assert!(rules::all().iter().any(|known| known.id == *rule), "{name} ({symptom}): no rule {rule}");
        }
    }
}
