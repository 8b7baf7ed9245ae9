//! Ten thousand secrets in realistic lines, none of which may stay, and ten thousand innocent lines, which must.
//!
//! `{aN}` is N letters and digits, `{uN}` capital letters and digits, `{hN}` hexadecimal digits, `{dN}` digits, `{bN}` base64url, `{wN}` small
//! letters; the same text with the same seed each time. What stands in `{…}` of a secret is what must not survive.

use super::{Config, Redactor};

/// Secrets of each run.
const SECRETS: usize = 10_000;
const INNOCENT: usize = 10_000;

/// Marsaglia's xorshift: the same numbers on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    fn letters(&mut self, class: u8, count: usize) -> String {
        let alphabet: &[u8] = match class {
            b'a' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            b'u' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            b'h' => b"0123456789abcdef",
            b'd' => b"0123456789",
            b'b' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            b'm' => b"cbdefghijklnrtuv",
            _ => b"abcdefghijklmnopqrstuvwxyz",
        };
        let text: String = (0..count).map(|_| char::from(alphabet[self.next(alphabet.len())])).collect();
        // Real tokens of this length have a digit and do not end with a mark.
        if matches!(class, b'a' | b'b') && count > 2 { format!("{}7", &text[..count - 1]) } else { text }
    }

    /// The text with its placeholders filled, and what was filled in.
    fn fill(&mut self, shape: &str) -> (String, Vec<String>) {
        let (mut text, mut filled) = (String::new(), Vec::new());
        let mut rest = shape;
        while let Some(open) = rest.find('{') {
            let close = open + rest[open..].find('}').unwrap_or(rest.len() - open - 1);
            let inner = &rest[open + 1..close];
            text.push_str(&rest[..open]);
            match inner.get(1..).and_then(|count| count.parse().ok()) {
                Some(count) if inner.is_ascii() => {
                    let letters = self.letters(inner.as_bytes()[0], count);
                    text.push_str(&letters);
                    filled.push(letters);
                }
                _ => text.push_str(&rest[open..=close]),
            }
            rest = &rest[close + 1..];
        }
        text.push_str(rest);
        (text, filled)
    }
}

/// Secrets of many makers and forms.
const KINDS: &[&str] = &[
    "AKIA{u16}",
    "ASIA{u16}",
    "aws_secret_access_key={b40}",
    "ghp_{a36}",
    "gho_{a36}",
    "ghs_{a36}",
    "github_pat_{a22}_{a59}",
    "glpat-{b20}",
    "glrt-{b20}",
    "xoxb-{d11}-{d12}-{a24}",
    "xoxp-{d11}-{d11}-{d12}-{h32}",
    "https://hooks.slack.com/services/T{u8}/B{u8}/{a24}",
    "https://discord.com/api/webhooks/{d18}/{b68}",
    "AIza{b35}",
    "ya29.{b60}",
    "GOCSPX-{b28}",
    "sk_live_{a24}",
    "rk_test_{a24}",
    "whsec_{a32}",
    "sk-proj-{b48}",
    "sk-ant-api03-{b90}",
    "hf_{a34}",
    "gsk_{a52}",
    "npm_{a36}",
    "pypi-AgEIcHlwaS5vcmc{b60}",
    "rubygems_{h47}7",
    "dop_v1_{h64}",
    "hvs.{b90}",
    "shpat_{h32}",
    "dckr_pat_{b27}",
    "lin_api_{a40}",
    "SG.{b22}.{b43}",
    "key-{h32}",
    "SK{h32}",
    "xkeysib-{h64}-{a16}",
    "sq0atp-{b22}",
    "access_token$production$x7${h32}",
    "dapi{h32}",
    "dp.pt.{a43}",
    "dt0c01.{u24}.{u64}",
    "glsa_{a32}_{h8}",
    "NRAK-{u27}",
    "sntrys_{b80}",
    "ntn_{a46}",
    "pat{a14}.{h64}",
    "ATATT3xFfGF0{b60}",
    "figd_{b40}",
    "PMAK-{h24}-{h34}",
    "pscale_tkn_{b43}",
    "sbp_{h40}",
    "tskey-auth-{a12}-{a32}",
    "AGE-SECRET-KEY-1{u58}",
    "{SSHA}{b32}",
    "user:1001:aad3b435b51404eeaad3b435b51404ee:{h32}:::",
    "v4.local.{b60}",
    "{d9}:AAF{b32}",
    "eyJhbGciOiJIUzI1NiJ9.eyJ{b40}.{b43}",
    "ABC{d1}Q~{b34}",
    "$6$rounds=5000$x${b60}",
    "$2b$12${b53}",
    "$argon2id$v=19$m=65536,t=3,p=4${b22}${b43}",
    "{d6}-{d6}-{d6}-{d6}-{d6}-{d6}-{d6}-{d6}",
    "{m8}-{m8}-{m8}-{m8}-{m8}-{m8}-{m8}-{m8}",
    "password={a14}",
    "passwd: '{a12}'",
    "\"passphrase\": \"{a20}\"",
    "--password {a12}",
    "DB_PASSWORD={a16}",
    "https://anna:{a14}@files.example/x",
    "postgres://app:{a18}@db.example:5432/shop",
    "curl -u anna:{a12} https://api.example/v1",
    "mysql -uroot -p{a12} shop",
    "sshpass -p {a12} ssh nas",
    "Authorization: Basic {b40}",
    "Authorization: Bearer {b64}",
    "X-Api-Key: {a32}",
    "Cookie: session={a40}; theme=dark",
    "client_secret={a32}",
    "refresh_token={b64}",
    "psk=\"{a16}\"",
    "wpa_passphrase={a16}",
    "rocommunity {a12}",
    "requirepass {a24}",
    "machine files.example login anna password {a14}",
    "sqlplus scott/{a12}@orcl",
    "AccountKey={a86}==;EndpointSuffix=x",
    "?sv=2024&sig={b43}&se=2",
    "\"auth\": \"{b40}\"",
    "PrivateKey = {b43}=",
    "PresharedKey = {b43}=",
    "net config: snmpwalk -v2c -c {a12} 192.0.2.9",
    "otpauth://totp/x?secret={u32}&issuer=y",
    "nmcli dev wifi connect cafe password {a12}",
    "CREATE USER x IDENTIFIED BY '{a14}'",
    "cmdkey /add:srv /user:x /pass:{a12}",
    "JSESSIONID={a32}",
    "<password>{a14}</password>",
    "Server=db;User Id=app;Password={a16};Encrypt=yes",
    "client-key-data: {b80}",
    "x-amz-security-token: {b80}",
];

/// Where they stand in logs; `@` is the secret's text.
const LINES: &[&str] = &[
    "@",
    "Nov 22 01:10:57 desk7 app[812]: starting with @",
    "2026-11-22T01:10:57.123+01:00 desk7 deploy[9]: env: @",
    "E [22/Nov/2026:01:10:57 +0100] [Job 12] backend: @",
    "{\"level\":\"error\",\"msg\":\"request failed\",\"detail\":'@'}",
    "java.lang.IllegalStateException: cannot log in (@)",
    "worker 3: retrying after 401: @",
    "\tat connect @",
    "config line 7: @",
    "+ @",
];

/// Lines of a directive or of a header must begin with it.
const ALONE: [&str; 3] = ["rocommunity", "requirepass", "X-Api-Key"];

/// As machines write them: nothing of these is a secret.
const ORDINARY: &[&str] = &[
    "Nov 22 01:10:57 desk7 systemd[1]: Started cups.service - CUPS Scheduler.",
    "systemd[1]: session-{d3}.scope: Deactivated successfully. Consumed {d1}.{d3}s CPU time.",
    "systemd-logind[{d3}]: New session {d3} of user gdm.",
    "sshd[{d5}]: Accepted publickey for git from 10.{d2}.0.{d1} port {d5} ssh2: ED25519 SHA256:{b43}",
    "sshd[{d5}]: Failed password for invalid user oracle from 203.0.113.{d2} port {d5} ssh2",
    "sshd[{d5}]: Connection closed by authenticating user root 203.0.113.{d2} port {d5} [preauth]",
    "kernel: [{d5}.{d6}] usb 1-4: New USB device found, idVendor={h4}, idProduct={h4}, bcdDevice= 1.00",
    "kernel: usb 1-4: SerialNumber: {u12}",
    "kernel: audit: type=1400 audit({d10}.{d3}:{d3}): apparmor=\"DENIED\" operation=\"open\" profile=\"cupsd\" name=\"/etc/x\" pid={d4} comm=\"cupsd\"",
    "kernel: EXT4-fs (sda2): mounted filesystem {h8}-{h4}-{h4}-{h4}-{h12} r/w with ordered data mode. Quota mode: none.",
    "kernel: e1000e 0000:00:1f.6 eno1: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
    "kernel: pcieport 0000:00:1c.0: AER: Corrected error received: 0000:00:1c.0",
    "kernel: Out of memory: Killed process {d5} (chrome) total-vm:{d7}kB, anon-rss:{d6}kB, oom_score_adj:300",
    "kernel: traps: app[{d5}] general protection fault ip:{h12} sp:{h12} error:0 in libfoo.so.1[{h12}+{h5}]",
    "kernel: RIP: 0033:0x{h12} Code: {h2} {h2} {h2} {h2} {h2} <{h2}> {h2} {h2}",
    "NetworkManager[{d3}]: <info>  [{d10}.{d4}] dhcp4 (eno1): state changed new lease, address=192.168.{d1}.{d2}",
    "NetworkManager[{d3}]: <info>  [{d10}.{d4}] device (wlan0): supplicant interface state: completed -> disconnected",
    "wpa_supplicant[{d3}]: wlan0: CTRL-EVENT-DISCONNECTED bssid={h2}:{h2}:{h2}:{h2}:{h2}:{h2} reason=15",
    "wpa_supplicant[{d3}]: wlan0: WPA: Key negotiation completed with {h2}:{h2}:{h2}:{h2}:{h2}:{h2} [PTK=CCMP GTK=CCMP]",
    "dhclient[{d4}]: DHCPACK of 192.168.{d1}.{d2} from 192.168.1.1 (xid=0x{h8})",
    "systemd-resolved[{d3}]: Using degraded feature set UDP instead of UDP+EDNS0 for DNS server 192.0.2.53.",
    "E [22/Nov/2026:01:10:57 +0100] [Job {d3}] The printer is not responding.",
    "I [22/Nov/2026:01:10:57 +0100] [Job {d3}] Started filter /usr/lib/cups/filter/pdftopdf (PID {d5})",
    "D [22/Nov/2026:01:10:57 +0100] [Client {d3}] HTTP_STATE_WAITING Closing for error 32 (Broken pipe)",
    "status installed libc6:amd64 2.36-9+deb12u{d1}",
    "Unpacking linux-image-6.1.0-{d2}-amd64 (6.1.{d2}-1) ...",
    "git: commit {h40} on branch main, tree {h40}",
    "docker: digest: sha256:{h64} size: {d4}",
    "npm: integrity sha512-{b86}== ok",
    "certificate fingerprint SHA1 {h2}:{h2}:{h2}:{h2}:{h2}:{h2}:{h2}:{h2} serial {h32}",
    "uuid {h8}-{h4}-{h4}-{h4}-{h12}, machine-id {h32}, boot {h32}",
    "nginx: 192.0.2.{d2} - - [22/Nov/2026:01:10:57 +0100] \"GET /assets/{h20}.js HTTP/1.1\" 304 0 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
    "nginx: [error] {d4}#{d4}: *{d4} connect() failed (111: Connection refused) while connecting to upstream, request: \"GET /api?id={d6}&page=2\"",
    "postgres[{d4}]: ERROR:  duplicate key value violates unique constraint \"orders_pkey\" DETAIL:  Key (id)=({d6}) already exists.",
    "postgres[{d4}]: LOG:  checkpoint complete: wrote {d4} buffers (2.1%); 0 WAL file(s) added",
    "java.net.SocketTimeoutException: connect timed out at java.base/sun.nio.ch.NioSocketImpl.connect(NioSocketImpl.java:{d3})",
    "Traceback (most recent call last): File \"/usr/lib/python3/dist-packages/x.py\", line {d3}, in <module> KeyError: 'token'",
    "thread 'main' panicked at src/main.rs:{d2}:{d2}: called `Option::unwrap()` on a `None` value",
    "the token bucket holds {d4} tokens; secret service started; password prompt was shown",
    "polkitd[{d3}]: Registered Authentication Agent for unix-session:{d2} (system bus name :1.{d3})",
    "pam_unix(sudo:auth): authentication failure; logname= uid=1000 euid=0 tty=/dev/pts/{d1} ruser=x rhost=  user=x",
    "gdm-password]: gkr-pam: unable to locate daemon control file",
    "gnome-keyring-daemon[{d4}]: asked to register item /org/freedesktop/secrets/collection/login/{d2}, but it's already registered",
    "chronyd[{d3}]: Selected source 192.0.2.{d2} (ntp.example)",
    "smartd[{d3}]: Device: /dev/sda [SAT], SMART Usage Attribute: 194 Temperature_Celsius changed from 67 to 66",
    "Could not resolve host: files-{d2}.intern.example; Unknown error",
    "GET https://updates.example/v{d1}/pool/main/f/foo_{d1}.{d2}-{d1}_amd64.deb 200 {d6} bytes",
    "Hit:1 http://deb.example/debian bookworm-security InRelease [{d3} kB]",
    "session opened for user gdm(uid=120) by (uid=0); pass {d2} of 40 done; key {d2} pressed",
    "bluetoothd[{d3}]: src/profile.c:ext_connect() Hands-Free Voice gateway failed connect to {h2}:{h2}:{h2}:{h2}:{h2}:{h2}: Connection refused (111)",
    "avahi-daemon[{d3}]: Registering new address record for fe80::{h4}:{h4}:{h4}:{h4} on eno1.*.",
    "systemd-coredump[{d5}]: Process {d5} (soffice.bin) of user 1000 dumped core. Module libuno.so from deb libreoffice-7.4.{d1}.amd64",
    "ModemManager[{d3}]: <warn> [modem{d1}] SIM is not ready: pin required, puk not needed",
    "tls: certificate for files.example expires in {d2} days; cipher TLS_AES_256_GCM_SHA384; key exchange X25519",
    "Windows-Update: KB{d7} failed with 0x8024{h4}; correlation {{{h8}-{h4}-{h4}-{h4}-{h12}}}",
    "cache key user-{d6}-profile-v{d1} missed, access denied to /srv/share/{w8}/{w6}.odt, session ended",
    "api: 404 for /v1/items/{h24} in {d2} ms trace={h32} span={h16}",
    "backup-{d8}-{d4}.tar.zst written, 4 volumes, {d4}-{d4} blocks",
    "snap-confine: cannot change profile for the next exec call; refresh of revision {d5} postponed",
    "license: MIT OR Apache-2.0; sku ABCD-{d4}; part 00-{d4}-{d3}",
];

fn redactor() -> Redactor {
    Redactor::open(tempfile::tempdir().unwrap().path(), Config::default()).unwrap()
}

#[test]
fn of_ten_thousand_secrets_none_stays() {
    let (redactor, mut draw) = (redactor(), Draw(0x5eed));
    assert!(KINDS.len() >= 60 && super::kinds().len() >= 60, "{} and {}", KINDS.len(), super::kinds().len());
    let mut leaks = Vec::new();
    for number in 0..SECRETS {
        let kind = KINDS[number % KINDS.len()];
        let (secret, parts) = draw.fill(kind);
        let alone = ALONE.iter().any(|word| kind.starts_with(word));
        let line = if alone { "@" } else { LINES[draw.next(LINES.len())] };
        let line = line.replacen('@', &secret, 1);
        let kept = redactor.text(&line);
        // Short parts are names and counts, of which a maker's prefix is full.
        if parts.iter().any(|part| part.len() >= 12 && kept.contains(part.as_str())) || kept == line {
            leaks.push(format!("{line}  ->  {kept}"));
        }
    }
    assert!(
        leaks.is_empty(),
        "{} of {SECRETS} leak:\n{}",
        leaks.len(),
        leaks.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn ten_thousand_innocent_lines_lose_nothing_that_matters() {
    let (redactor, mut draw) = (redactor(), Draw(0x1_5eed));
    let mut lost = Vec::new();
    for number in 0..INNOCENT {
        let (line, _parts) = draw.fill(ORDINARY[number % ORDINARY.len()]);
        let kept = redactor.text(&line);
        if kept != line {
            lost.push(format!("{line}  ->  {kept}"));
        }
    }
    assert!(
        lost.is_empty(),
        "{} of {INNOCENT} lose something:\n{}",
        lost.len(),
        lost.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}
