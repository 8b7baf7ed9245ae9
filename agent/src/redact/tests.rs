//! Canaries never survive, ordinary lines always do.

use deskside_proto::catalog;
use deskside_proto::rows::{self, Row, Value};
use deskside_proto::v1::{Catalogue, LogEvent, Outcome, PrintJob, Printer, Process, Reading, TableSchema};
use proptest::prelude::*;
use prost::bytes::Bytes;

use super::{Config, Redactor};

fn redactor(consent: &[&str]) -> Redactor {
    let dir = tempfile::tempdir().unwrap();
    let consent = consent.iter().map(|&name| name.to_owned()).collect();
    Redactor::open(dir.path(), Config { consent, ..Config::default() }).unwrap()
}

fn reading<R: Row>(rows: &[R]) -> (&'static TableSchema, Reading) {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reading = Reading { table: R::TABLE.into(), at_ms: 1, outcome: Outcome::Ok.into(), rows, ..Reading::default() };
    (catalog::table(R::TABLE).unwrap(), reading)
}

fn first<R: Row>(reading: &Reading) -> R {
    R::decode(reading.rows[0].clone()).unwrap()
}

/// Where secrets are seen in the wild; `@` is the secret.
const SHAPES: &[&str] = &[
    "password=@",
    "PASSWORD=@",
    "passwd: @",
    "db_password = '@'",
    "DB_PASSWORD=\"@\" exec",
    "{\"password\":\"@\",\"user\":\"x\"}",
    "{\"password\": \"@\"}",
    "msg={\\\"password\\\":\\\"@\\\"}",
    "login?user=x&password=@&next=/",
    "--password @",
    "--password=@ --verbose",
    "tool --db-password @ --x",
    "-password @",
    "mysql -u root -p@ shop",
    "mysqldump --password=@ shop",
    "sshpass -p @ ssh host",
    "curl -u alice:@ https://host/",
    "curl --user 'alice:@' https://host/",
    "smbclient //srv/share -U alice%@",
    "ldapsearch -x -D cn=admin -w @ -b dc=x",
    "redis-cli -h x -a @ ping",
    "nmcli dev wifi connect cafe password @",
    "https://alice:@@host.example/path",
    "git clone https://x-token:@@github.com/x/y",
    "postgres://app:@@db:5432/shop?sslmode=require",
    "mongodb+srv://app:@@cluster0/x",
    "smb://dom;alice:@@printer/queue",
    "Server=db;User Id=app;Password=@;Encrypt=yes",
    "host=db user=app password=@ dbname=shop",
    "Authorization: Basic @",
    "-H 'Authorization: token @'",
    "-H \"Authorization: Bearer @\"",
    "curl -H \"X-Api-Key: @\" x",
    "api_key=@",
    "apikey: \"@\"",
    "\"api-key\" : \"@\"",
    "client_secret=@&grant_type=x",
    "AWS_SECRET_ACCESS_KEY=@",
    "aws_secret_access_key = @",
    "token=@",
    "GITHUB_TOKEN=@ make",
    "secret: '@'",
    "psk=\"@\"",
    "wpa_passphrase=@",
    "802-11-wireless-security.psk:@",
    "Cookie: sid=@; theme=dark",
    "Set-Cookie: session=@; Path=/",
    "<password>@</password>",
    "<add key=\"x\" password=\"@\" />",
    "password => '@'",
    "password := \"@\"",
    "password%3D@&x=1",
    "params[password]=@",
    "CREATE USER x IDENTIFIED BY '@'",
    "token%3D@",
    "JSESSIONID=@",
    "private_key=@",
    "AccountKey=@;EndpointSuffix=x",
    "https://blob/x?sv=1&sig=@&se=2",
    "openssl rsa -passin pass:@ -in k",
    "useradd -p @ bob",
    "password 2 wrong password1=@",
    "user=x, password=@",
    "retry (password=@)",
    "snmpget -v2c -c @ printer oid",
];

/// Tokens that are known by their form, wherever they stand; `@` is 40 letters and digits.
const TOKENS: &[&str] = &[
    "ghp_@",
    "gho_@",
    "github_pat_@",
    "glpat-@",
    "xoxb-@",
    "xoxp-1-@",
    "AIza@",
    "ya29.@",
    "sk_live_@",
    "sk-ant-@",
    "npm_@",
    "hvs.@",
    "dsk1@@",
    "eyJhbGciOiJIUzI1NiJ9.eyJ@.@",
    "Bearer @",
    "bearer @",
    "AKIA@",
    "GOCSPX-@",
    "$6$salt$@",
    "$y$j9T$x$@",
    "https://hooks.slack.com/services/@",
];

const AROUND: &[&str] =
    &["@", "started: @", "(@)", "error [@] at 5", "a, @, b", "'@'", "x=\"@\"", "line\n@\nline", "ü@ü", "\t@ -v"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // They begin with a letter: in a URL, digits and a slash are a port and a path to every reader.
    #[test]
    fn a_secret_in_any_shape_never_survives(secret in "[A-Za-z][A-Za-z0-9!#%+/._~*-]{6,30}[A-Za-z0-9]", noise in "[a-z ]{0,20}") {
        let redactor = redactor(&[]);
        for shape in SHAPES {
            let text = format!("{noise} {}", shape.replacen('@', &secret, 1));
            let cleaned = redactor.text(&text);
            prop_assert!(!cleaned.contains(&secret), "{text} became {cleaned}");
            prop_assert!(!cleaned.contains(&secret[1..secret.len() - 1]), "{text} became {cleaned}");
            prop_assert_eq!(redactor.text(&cleaned).into_owned(), cleaned.clone().into_owned(), "twice is once: {}", text);
        }
    }

    #[test]
    fn a_token_is_known_wherever_it_stands(body in "[A-Za-z][A-Za-z0-9]{38}[0-9]") {
        let redactor = redactor(&[]);
        for token in TOKENS {
            for around in AROUND {
                let text = around.replace('@', &token.replace('@', &body));
                let cleaned = redactor.text(&text);
                prop_assert!(!cleaned.contains(&body), "{text} became {cleaned}");
            }
        }
    }

    #[test]
    fn any_text_is_got_through_and_stays_text(text in "(\\PC|password|=|://|@|:|-----BEGIN |PRIVATE KEY|\"|\\\\|/home/|mysql -p|\\$|eyJ|ü){0,40}") {
        let redactor = redactor(&[]);
        let once = redactor.text(&text).into_owned();
        prop_assert!(once.len() <= text.len() * 20 + 40);
    }
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    let redactor = redactor(&[]);
    for line in ORDINARY.lines() {
        assert_eq!(redactor.text(line), line);
    }
}

const ORDINARY: &str = "Failed password for invalid user admin from 10.0.0.7 port 51532 ssh2
Accepted publickey for git from 10.0.0.7 port 51532 ssh2: RSA SHA256:0Zf3
pam_unix(gdm-password:session): session opened for user gdm(uid=120) by (uid=0)
systemd[1]: Started systemd-ask-password-wall.path - Forward Password Requests to Wall Directory Watch.
pam_unix(sudo:auth): authentication failure; logname= uid=1000 euid=0 tty=/dev/pts/0 ruser=x rhost=  user=x
root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/apt update
kernel: audit: type=1701 audit(1700000000.1:5): auid=1000 uid=1000 pid=77 comm=\"x\" exe=\"/usr/bin/x\" sig=11 res=1
usb 1-1: New USB device found, idVendor=046d, idProduct=c31c, bcdDevice=64.00
E [12/May/2026:10:00:00 +0200] [Job 12] The printer is not responding.
connecting to ipp://printer.example:631/ipp/print and http://[::1]:631/
lpd://10.1.2.3/queue socket://10.1.2.3:9100?contimeout=2
mail to postmaster about http://host/path?a=b@c was sent
curl: (7) Failed to connect to host port 80 after 3 ms
the token bucket filter was set; token expired; secret agent registered
authorization: denied by policy for user x
password: required; password=\"\" token=null secret: ***
docker pull -q registry/image:1.2 finished, mysql is ready for connections
cost $5 and $HOME and ${PATH} and $1$
nf_conntrack: table full, dropping packet (pass=3 fail=0)
/home is on /dev/sda2, /Users is not
std::fs::password::Error at token::parse line 3: expected ';'
Dependency failed for Local File Systems; see 'systemctl status home.mount' for details.
tokens=5 max_tokens: 4096 passwords were tried, keyboard-interactive
eyJ is how it begins, AKIA too, ghp_ and -----BEGIN CERTIFICATE-----";

#[test]
fn equal_secrets_stay_equal_and_other_keys_say_something_else() {
    let (one, other) = (redactor(&[]), redactor(&[]));
    let (a, b) = (one.text("password=hunter22"), one.text("--password 'hunter22'"));
    let tag = a.strip_prefix("password=").unwrap();
    assert_eq!((tag.len(), b.contains(tag)), (15, true), "{a} {b}");
    assert_ne!(one.text("password=hunter23"), a);
    assert_ne!(other.text("password=hunter22"), a);
}

#[test]
fn a_private_key_goes_whole_even_if_its_end_is_missing() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\nZXktdjE=\n-----END OPENSSH PRIVATE KEY-----";
    let redactor = redactor(&[]);
    let cleaned = redactor.text(&format!("got {key} from x")).into_owned();
    assert!(cleaned.starts_with("got [secret-") && cleaned.ends_with("] from x"), "{cleaned}");
    assert!(!redactor.text(&key[..70]).contains("b3Bl"));
}

#[test]
fn columns_go_by_their_sensitivity_and_a_name_is_the_same_everywhere() {
    let job = PrintJob {
        id: 7,
        user: "alice".into(),
        title: "Resignation".into(),
        message: "spooling".into(),
        ..PrintJob::default()
    };
    let (schema, before) = reading(&[job]);
    let redactor = redactor(&[]);
    let after: PrintJob = first(&redactor.redact(schema, before.clone()));
    assert_eq!((after.id, after.title.as_str(), after.message.as_str()), (7, "", "spooling"));
    assert!(after.user.starts_with("person-"), "{}", after.user);
    let (schema_of_log, log) =
        reading(&[LogEvent { message: "cannot open /home/alice/.config: denied".into(), ..LogEvent::default() }]);
    let event: LogEvent = first(&redactor.redact(schema_of_log, log));
    assert_eq!(event.message, format!("cannot open /home/{}/.config: denied", after.user));
    for consent in ["print_jobs", "print_jobs.title"] {
        let after: PrintJob = first(&self::redactor(&[consent]).redact(schema, before.clone()));
        assert_eq!(after.title, "Resignation");
    }
}

#[test]
fn a_row_without_secrets_stays_byte_by_byte() {
    let (schema, before) = reading(&[Process {
        pid: 3,
        name: "cupsd".into(),
        command_line: "/usr/sbin/cupsd -l".into(),
        ..Process::default()
    }]);
    let after = redactor(&[]).redact(schema, before.clone());
    assert_eq!(after.rows[0].as_ptr(), before.rows[0].as_ptr());
}

#[test]
fn lists_reasons_and_fields_that_nobody_knows_are_cleaned_too() {
    let printer = Printer {
        name: "q".into(),
        state_reasons: vec!["a".into(), "password=hunter22".into(), "b".into()],
        queued_jobs: 3,
        ..Printer::default()
    };
    let (schema, mut before) = reading(&[printer]);
    let mut row = before.rows[0].to_vec();
    prost::encoding::string::encode(900, &"token=abcdef123456".to_owned(), &mut row);
    before.rows[0] = Bytes::from(row);
    before.reason = "running: tool --password hunter22".into();
    let after = redactor(&[]).redact(schema, before);
    let printer: Printer = first(&after);
    assert_eq!((printer.state_reasons.len(), printer.queued_jobs), (3, 3));
    let all = format!("{:?} {}", after.rows[0], after.reason);
    assert!(!all.contains("hunter22") && !all.contains("abcdef123456") && all.contains("[secret-"), "{all}");
    assert!(rows::check(schema, &after.rows[0]).is_ok());
}

#[test]
fn a_secret_column_is_never_kept_and_a_broken_row_neither() {
    let mut tables = Catalogue { tables: vec![catalog::table("print_jobs").unwrap().clone()] }.tables;
    let mut schema = tables.remove(0);
    for column in &mut schema.columns {
        column.options.get_or_insert_default().set_sensitivity(deskside_proto::v1::Sensitivity::Secret);
    }
    let (_schema, mut reading) = reading(&[PrintJob { id: 7, user: "alice".into(), ..PrintJob::default() }]);
    reading.rows.push(Bytes::from_static(b"\x12\xffbroken"));
    let after = redactor(&[]).redact(&schema, reading);
    assert_eq!(after.rows, [Bytes::new()]);
    assert!(rows::open(&schema, &after.rows[0]).unwrap().contains(&Value::Text(String::new())));
}
