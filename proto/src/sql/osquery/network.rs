//! osquery's tables of the network.

use super::View;

pub(super) const VIEWS: &[View] = &[
    View {
        name: "interface_addresses",
        columns: "t.interface AS interface, t.address AS address, CASE WHEN t.family = 'inet' THEN \
                  ((4294967295 << (32 - t.prefix_length) & 4294967295) >> 24) || '.' || \
                  ((4294967295 << (32 - t.prefix_length)) >> 16 & 255) || '.' || \
                  ((4294967295 << (32 - t.prefix_length)) >> 8 & 255) || '.' || \
                  (4294967295 << (32 - t.prefix_length) & 255) WHEN t.prefix_length % 16 = 0 THEN \
                  rtrim(substr('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 1, t.prefix_length / 16 * 5), ':') || \
                  CASE WHEN t.prefix_length < 128 THEN '::' ELSE '' END END AS mask, \
                  t.peer AS point_to_point, CASE t.source WHEN 'dhcp' THEN 'dhcp' WHEN 'slaac' THEN 'auto' \
                  WHEN 'link-local' THEN 'auto' WHEN 'static' THEN 'manual' ELSE 'other' END AS type",
        unfilled: "broadcast friendly_name",
        from: "{addresses} t",
    },
    View {
        name: "interface_details",
        columns: "t.name AS interface, t.mac AS mac, t.mtu AS mtu, t.rx_packets AS ipackets, t.tx_packets AS opackets, \
                  t.rx_bytes AS ibytes, t.tx_bytes AS obytes, t.rx_errors AS ierrors, t.tx_errors AS oerrors, \
                  t.rx_dropped AS idrops, t.tx_dropped AS odrops, t.collisions AS collisions, \
                  t.speed_bits_per_second / 1000000 AS link_speed, t.bus AS pci_slot, t.admin_up AS enabled",
        unfilled: "type metric last_change flags",
        from: "{interfaces} t",
    },
    View {
        name: "listening_ports",
        columns: "t.port AS port, CASE t.protocol WHEN 'tcp' THEN 6 WHEN 'udp' THEN 17 END AS protocol, \
                  CASE WHEN instr(t.address, ':') THEN 10 ELSE 2 END AS family, t.address AS address",
        unfilled: "pid fd socket path net_namespace",
        from: "{sockets} t",
    },
    View {
        name: "routes",
        columns: "CASE t.destination WHEN 'default' THEN iif(t.family = 'inet', '0.0.0.0', '::') ELSE \
                  iif(instr(t.destination, '/'), substr(t.destination, 1, instr(t.destination, '/') - 1), t.destination) \
                  END AS destination, CASE WHEN t.destination = 'default' THEN 0 WHEN instr(t.destination, '/') \
                  THEN CAST(substr(t.destination, instr(t.destination, '/') + 1) AS INTEGER) \
                  ELSE iif(t.family = 'inet', 32, 128) END AS netmask, t.gateway AS gateway, t.source AS source, \
                  t.interface AS interface, t.metric AS metric, \
                  CASE WHEN t.type <> 'unicast' THEN t.type WHEN t.gateway <> '' THEN 'gateway' ELSE 'local' END AS type",
        unfilled: "flags mtu hopcount",
        from: "{routes} t",
    },
    View {
        name: "arp_cache",
        columns: "t.address AS address, t.mac AS mac, t.interface AS interface, t.state = 'permanent' AS permanent",
        unfilled: "",
        from: "(SELECT * FROM {neighbors} WHERE NOT instr(address, ':') AND mac <> '') t",
    },
    View {
        name: "dns_resolvers",
        columns: "t.position - 1 AS id, CASE t.kind WHEN 'option' THEN 'options' WHEN 'fallback' THEN 'nameserver' \
                  WHEN 'routing' THEN 'search' ELSE t.kind END AS type, t.value AS address",
        unfilled: "netmask options",
        from: "{resolvers} t",
    },
    View {
        name: "wifi_status",
        columns: "t.interface AS interface, t.ssid AS ssid, t.bssid AS bssid, t.ssid AS network_name, \
                  t.country AS country_code, t.security AS security_type, t.signal_dbm AS rssi, t.noise_dbm AS noise, \
                  t.channel AS channel, t.width_mhz AS channel_width, t.band AS channel_band, \
                  t.tx_bits_per_second / 1000000 AS transmit_rate, t.mode AS mode",
        unfilled: "",
        from: "{wifi} t",
    },
    View {
        name: "wifi_survey",
        columns: "t.interface AS interface, t.ssid AS ssid, t.bssid AS bssid, t.ssid AS network_name, \
                  t.country AS country_code, t.security AS security_type, t.signal_dbm AS rssi, t.channel AS channel, \
                  t.width_mhz AS channel_width, t.band AS channel_band",
        unfilled: "noise",
        from: "{wifi_scan} t",
    },
];
