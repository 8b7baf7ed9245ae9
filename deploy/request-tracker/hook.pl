# Tells Deskside that a ticket of Request Tracker 5 was moved to another queue, signed; Deskside then reads the ticket itself.
#
#   rt-setup-database-5 --action insert --datafile hook.pl
#
# and in RT_SiteConfig.pm, with the secret of hook_secret_file and the name of the help desk at the end of the address:
#
#   Set($DesksideHookURL, 'https://deskside.example:8445/hooks/rt');
#   Set($DesksideHookSecret, '...');
use strict;
use warnings;

our @Scrips = (
    {
        Description    => 'Tell Deskside of tickets that change their queue',
        Queue          => 0,
        ScripCondition => 'On Queue Change',
        ScripAction    => 'User Defined',
        Template       => 'Blank',
        CustomPrepareCode => 'return 1;',
        CustomCommitCode  => <<'CODE',
use Digest::SHA ();
use LWP::UserAgent ();
my $url = RT->Config->Get('DesksideHookURL');
my $secret = RT->Config->Get('DesksideHookSecret');
return 1 unless $url && $secret;
my $body = sprintf '{"ticket":"%d","delivery":"%d","at":%d}', $self->TicketObj->id, $self->TransactionObj->id, time;
my $code = Digest::SHA::hmac_sha256_hex($body, $secret);
my $answer = LWP::UserAgent->new(timeout => 5)->post(
    $url,
    'Content-Type'         => 'application/json',
    'X-Deskside-Signature' => "sha256=$code",
    Content                => $body,
);
RT->Logger->error('Deskside did not take the hook: ' . $answer->status_line) unless $answer->is_success;
return 1;
CODE
    },
);
