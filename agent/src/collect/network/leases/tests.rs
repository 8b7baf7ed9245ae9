//! Leases as real clients wrote them down: NetworkManager 1.42, systemd-networkd 252, dhclient 4.4.3.

use super::*;

const NETWORK_MANAGER: &str = "[device]\nmanaged=true\n\n[dhcp4]\ndhcp4.broadcast_address=192.0.2.255\n\
    dhcp4.dhcp_lease_time=3600\ndhcp4.dhcp_server_identifier=192.0.2.1\ndhcp4.domain_name=office.example\n\
    dhcp4.domain_name_servers=192.0.2.1 192.0.2.2\ndhcp4.domain_search=corp.example lab.example\ndhcp4.expiry=1795337153\n\
    dhcp4.host_name=vm\ndhcp4.interface_mtu=1400\ndhcp4.ip_address=192.0.2.108\ndhcp4.ntp_servers=192.0.2.3\n\
    dhcp4.routers=192.0.2.1\ndhcp4.subnet_mask=255.255.255.0\ndhcp4.wpad=http://wpad.example/wpad.dat\n\n[dhcp6]\n\
    dhcp6.dhcp6_client_id=00:04:d5\ndhcp6.dhcp6_domain_search=six.example\ndhcp6.dhcp6_name_servers=2001:db8:1::53\n\
    dhcp6.iaid=5f:fe:62:a9\ndhcp6.ip6_address=2001:db8:1::1b0\n";

const NETWORKD: &str = "# This is private data. Do not parse.\nADDRESS=192.0.2.107\nNETMASK=255.255.255.0\nROUTER=192.0.2.1\n\
    SERVER_ADDRESS=192.0.2.1\nNEXT_SERVER=192.0.2.1\nBROADCAST=192.0.2.255\nT1=1800\nT2=3150\nLIFETIME=3600\n\
    DNS=192.0.2.1 192.0.2.2\nNTP=192.0.2.3\nDOMAINNAME=office.example\nDOMAIN_SEARCH_LIST=corp.example lab.example\n\
    HOSTNAME=vm\nCLIENTID=ff2d5a\nOPTION_252=687474703a2f2f777061642e6578616d706c652f777061642e646174\n";

const DHCLIENT: &str = r#"# The format of this file is documented in the dhclient.leases(5) manual page.
lease {
  interface "host1";
  fixed-address 198.51.100.90;
  option dhcp-server-identifier 198.51.100.9;
  expire 0 2026/11/20 09:46:35;
}
lease {
  interface "host1";
  fixed-address 198.51.100.116;
  option subnet-mask 255.255.255.0;
  option routers 203.0.113.1;
  option dhcp-lease-time 7200;
  option domain-name-servers 192.0.2.1,192.0.2.2;
  option dhcp-server-identifier 198.51.100.1;
  option domain-search "corp.example.", "lab.example.";
  option interface-mtu 1400;
  option dhcp-renewal-time 3600;
  option unknown-150 c0:0:2:9;
  option unknown-252 "http://wpad.example/wpad.dat";
  option dhcp-rebinding-time 6300;
  option domain-name "office.example";
  renew 0 2026/11/22 08:41:05;
  rebind 0 2026/11/22 09:31:35;
  expire 0 2026/11/22 09:46:35; # a comment; with { signs
}
lease6 {
  interface "host1";
  ia-na 20:cc:dd:ee {
    starts 1700000000;
    renew 500;
    iaaddr 2001:db8::77 {
      starts 1700000000;
      preferred-life 600;
      max-life 1000;
    }
  }
  option dhcp6.name-servers 2001:db8::53;
}
"#;

#[test]
fn a_lease_of_network_manager_has_its_times_and_both_families() {
    let rows = network_manager(NETWORK_MANAGER);
    let four = rows.first().unwrap();
    assert_eq!(
        (four.address.as_str(), four.prefix_length, four.server.as_str()),
        ("192.0.2.108", Some(24), "192.0.2.1")
    );
    assert_eq!((four.obtained_ms, four.expires_ms), (Some(1_795_333_553_000), Some(1_795_337_153_000)));
    assert_eq!((four.renew_ms, four.rebind_ms), (Some(1_795_335_353_000), Some(1_795_336_703_000)));
    assert_eq!((four.mtu, four.search.join(" ").as_str()), (Some(1400), "corp.example lab.example"));
    assert_eq!((four.proxy_auto_config.as_str(), four.router_outside), ("http://wpad.example/wpad.dat", Some(false)));
    assert_eq!(four.options, Vec::<String>::new());
    let six = rows.get(1).unwrap();
    assert_eq!((six.address.as_str(), six.name_servers.join(" ").as_str()), ("2001:db8:1::1b0", "2001:db8:1::53"));
    assert_eq!((six.expires_ms, six.router_outside), (None, None));
    assert!(network_manager("[device]\nmanaged=true\n").is_empty());
}

#[test]
fn a_lease_of_networkd_ends_when_it_is_told_to_and_else_at_no_known_time() {
    let row = networkd(NETWORKD, Some(1_700_003_600_000)).unwrap();
    assert_eq!((row.obtained_ms, row.renew_ms), (Some(1_700_000_000_000), Some(1_700_001_800_000)));
    assert_eq!(
        (row.rebind_ms, row.proxy_auto_config.as_str()),
        (Some(1_700_003_150_000), "http://wpad.example/wpad.dat")
    );
    let row = networkd(NETWORKD, None).unwrap();
    assert_eq!((row.obtained_ms, row.renew_ms, row.rebind_ms, row.lease_s), (None, None, None, Some(3600)));
    assert_eq!(networkd("# nothing\n", None), None);
}

#[test]
fn the_newest_lease_of_dhclient_stands_and_the_other_servers_are_kept() {
    let rows = dhclient(DHCLIENT);
    assert_eq!(rows.len(), 2);
    let four = rows.first().unwrap();
    assert_eq!((four.interface.as_str(), four.address.as_str()), ("host1", "198.51.100.116"));
    assert_eq!((four.server.as_str(), four.other_servers.join(" ").as_str()), ("198.51.100.1", "198.51.100.9"));
    assert_eq!(four.expires_ms, Some(1_795_340_795_000));
    assert_eq!(four.expires_ms.unwrap() - four.obtained_ms.unwrap(), 7_200_000);
    assert_eq!(four.renew_ms, Some(1_795_336_865_000));
    assert_eq!((four.router_outside, four.options.join(" ").as_str()), (Some(true), "unknown-150=c0:0:2:9"));
    assert_eq!((four.domain.as_str(), four.search.join(" ").as_str()), ("office.example", "corp.example lab.example"));
    let six = rows.get(1).unwrap();
    assert_eq!(
        (six.family.as_str(), six.address.as_str(), six.expires_ms),
        ("inet6", "2001:db8::77", Some(1_700_001_000_000))
    );
}

#[test]
fn a_lease_of_dhcpcd_is_the_servers_message() {
    let mut message = vec![0_u8; OPTIONS_AT];
    message[16..20].copy_from_slice(&[192, 0, 2, 44]);
    message.extend([53, 1, 5, 1, 4, 255, 255, 255, 0, 3, 4, 192, 0, 2, 1, 54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 14, 16, 0]);
    message.extend([114, 9]);
    message.extend(b"https://p");
    message.extend([150, 2, 1, 2, 255]);
    let row = dhcpcd(&message).unwrap();
    assert_eq!((row.address.as_str(), row.prefix_length, row.lease_s), ("192.0.2.44", Some(24), Some(3600)));
    assert_eq!((row.captive_portal.as_str(), row.options.join(" ").as_str()), ("https://p", "option-150=0102"));
    for cut in 0..message.len() {
        let _anything = dhcpcd(&message[..cut]);
    }
}

#[test]
fn no_text_that_is_cut_or_odd_breaks_it() {
    for cut in 0..DHCLIENT.len() {
        let _anything = dhclient(&DHCLIENT[..cut]);
    }
    for odd in [
        "lease {",
        "}}}}{{{{;;;",
        "lease { renew 9 9999999/1/1 1; }",
        "lease { option dhcp-lease-time 99999999999999999999; fixed-address x; }",
    ] {
        let _anything = dhclient(odd);
    }
    let huge =
        "[dhcp4]\ndhcp4.ip_address=x\ndhcp4.expiry=9223372036854775807\ndhcp4.dhcp_lease_time=18446744073709551615\n";
    assert_eq!(network_manager(huge).first().unwrap().expires_ms, None);
    assert_eq!(
        networkd("ADDRESS=1\nNETMASK=0.0.0.0\nROUTER=x\nT1=-5\nLIFETIME=4294967295\n", Some(i64::MIN)).unwrap().lease_s,
        None
    );
}
