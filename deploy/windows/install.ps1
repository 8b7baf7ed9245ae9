# The agent as a Windows service. Not yet run on Windows: the agent has no collectors for it.
# As an administrator: .\install.ps1 -Program .\deskside-agent.exe -TokenFile .\token
param(
    [Parameter(Mandatory)] [string] $Program,
    [string] $TokenFile
)
$ErrorActionPreference = 'Stop'
$home_ = Join-Path $env:ProgramFiles 'Deskside'
$state = Join-Path $env:ProgramData 'Deskside\agent'
New-Item -ItemType Directory -Force $home_, $state | Out-Null
Copy-Item -Force $Program (Join-Path $home_ 'deskside-agent.exe')
$agent = Join-Path $home_ 'deskside-agent.exe'
if ($TokenFile) { & $agent --state $state enroll --token-file $TokenFile }
# LOCAL SERVICE has few privileges, and no password to keep.
New-Service -Name deskside-agent -DisplayName 'Deskside agent' -StartupType Automatic `
    -BinaryPathName ('"{0}" --state "{1}" run' -f $agent, $state) -Description 'Reads this machine and remembers.' | Out-Null
& icacls $state /inheritance:r /grant 'SYSTEM:(OI)(CI)F' 'Administrators:(OI)(CI)F' 'LOCAL SERVICE:(OI)(CI)M' | Out-Null
& sc.exe config deskside-agent obj= 'NT AUTHORITY\LocalService' | Out-Null
& sc.exe failure deskside-agent reset= 3600 actions= restart/5000/restart/5000/restart/60000 | Out-Null
Start-Service deskside-agent
