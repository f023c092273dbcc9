<#
.SYNOPSIS
Checks vhdx-mount on a real Windows with WinFsp: mounts an image, lists, reads, compares, tries to write, unmounts, and
proves that no byte and no time of the image changed.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File check-on-windows.ps1 -Program .\vhdx-mount.exe -Image D:\VMs\VM_1A2B.avhdx

Nothing is changed but a folder below the temporary folder, which stays for you to look at.
#>
param(
    [Parameter(Mandatory)] [string] $Program,
    [Parameter(Mandatory)] [string] $Image,
    [string] $Letter = 'X',
    # At most so many files are read and compared.
    [int] $Files = 200
)
$ErrorActionPreference = 'Stop'
$Program = (Resolve-Path -LiteralPath $Program).ProviderPath
$Image = (Resolve-Path -LiteralPath $Image).ProviderPath
$drive = "${Letter}:"
$work = Join-Path ([IO.Path]::GetTempPath()) ("vhdx-mount-check-" + (Get-Date -Format yyyyMMdd-HHmmss))
[void] (New-Item -ItemType Directory -Path $work)
$failed = 0

function Test-That([string] $What, [scriptblock] $Check) {
    try {
        $told = & $Check
        if ($told -is [bool] -and -not $told) { throw 'no' }
        Write-Host "ok      $What $(if ($told -isnot [bool]) { "($told)" })"
    } catch {
        $script:failed++
        Write-Host "FAILED  ${What}: $_"
    }
}

function Get-State {
    Get-ChildItem -LiteralPath (Split-Path -Parent $Image) -File | Sort-Object Name | ForEach-Object {
        "$($_.Name) $($_.Length) $($_.LastWriteTimeUtc.Ticks) $($_.CreationTimeUtc.Ticks)"
    }
}

function Start-Mount([string] $Target) {
    $log = Join-Path $work "mount-$([guid]::NewGuid()).txt"
    $process = Start-Process -FilePath $Program -ArgumentList @("`"$Image`"", "`"$Target`"") -PassThru -WindowStyle Minimized `
        -RedirectStandardError $log
    foreach ($i in 1..300) {
        if (Test-Path -LiteralPath (Join-Path $Target 'report.json')) { return $process }
        if ($process.HasExited) { throw "the mount ended: $(Get-Content -Raw $log)" }
        Start-Sleep -Milliseconds 100
    }
    throw 'the mount does not stand after 30 seconds'
}

function Assert-WriteFails([scriptblock] $Write) {
    try { & $Write } catch { return $_.Exception.Message.Trim() }
    throw 'it was not refused'
}

# Extracts listed paths of the mount with their streams, and gives the folder that they stand in.
function Invoke-Extract([string] $Name, $Items) {
    $to = Join-Path $work $Name
    $list = Join-Path $work "$Name.txt"
    $paths = $Items | ForEach-Object { $_.FullName.Substring(3).Replace('\', '/') }
    [IO.File]::WriteAllLines($list, [string[]] @($paths), (New-Object Text.UTF8Encoding $false))
    & $Program extract $Image --to $to --from-file $list --streams 2> (Join-Path $work "$Name-said.txt") | Out-Null
    $to
}

# The named streams of a file, each as its name, as a mount spells it, and its bytes. Windows PowerShell tells none of folders.
function Get-Streams([string] $Path) {
    $bytes = if ($PSVersionTable.PSVersion.Major -ge 6) { @{ AsByteStream = $true } } else { @{ Encoding = 'Byte' } }
    Get-Item -LiteralPath $Path -Force -Stream * -ErrorAction SilentlyContinue | Where-Object Stream -ne ':$DATA' |
        Sort-Object Stream | ForEach-Object {
            $content = @(Get-Content -LiteralPath $Path -Stream $_.Stream -ReadCount 0 -ErrorAction Stop @bytes)
            $spelled = [regex]::Replace($_.Stream, '[\x01-\x1f<>"|?*]', { param($unit) '%{0:X2}' -f [int][char] $unit.Value })
            "$spelled $([Convert]::ToBase64String([byte[]] $content))"
        }
}

# What is to be the same of a file or folder on the mount and of its copy.
function Get-Marks([string] $Path) {
    $item = Get-Item -LiteralPath $Path -Force
    $kept = [int] $item.Attributes -band [int] [IO.FileAttributes] 'ReadOnly, Hidden, System'
    "$kept $($item.CreationTimeUtc.Ticks) $($item.LastWriteTimeUtc.Ticks)"
}

# Compares files or folders with what was extracted of them; gives how many streams they have.
function Compare-Copies([string] $To, $Items) {
    $wrong = 0; $streams = 0
    foreach ($item in $Items) {
        $copy = Join-Path $To $item.FullName.Substring(3)
        if (-not (Test-Path -LiteralPath $copy)) { Write-Host "        not whole: $($item.FullName)"; continue }
        $own = @(Get-Streams $item.FullName); $copied = @(Get-Streams $copy); $streams += $own.Count
        if (($own -join "`n") -cne ($copied -join "`n")) {
            $wrong++; Write-Host "        streams differ: $($item.FullName): $($own.Count), $($copied.Count)"
        }
        if ((Get-Marks $item.FullName) -ne (Get-Marks $copy)) {
            $wrong++; Write-Host "        attributes or times differ: $($item.FullName): $(Get-Marks $item.FullName), $(Get-Marks $copy)"
        }
    }
    if ($wrong) { throw "$wrong differ" }
    $streams
}

Write-Host "Windows $([Environment]::OSVersion.Version), $(& $Program --version)"
$winfsp = Get-ItemProperty 'HKLM:\SOFTWARE\WOW6432Node\WinFsp' -ErrorAction SilentlyContinue
Write-Host "WinFsp: $(if ($winfsp) { (Get-Item (Join-Path $winfsp.InstallDir 'bin\winfsp-x64.dll')).VersionInfo.FileVersion } else { 'not installed' })"

$state = Get-State
$hash = (Get-FileHash -LiteralPath $Image).Hash
$mount = Start-Mount $drive

Test-That 'report.json is what info --json prints' {
    $mounted = Get-Content -Raw -LiteralPath "$drive\report.json"
    $told = (& $Program info --json $Image) -join "`n"
    ($mounted -replace '\s', '') -eq ($told -replace '\s', '')
}
Test-That 'the volume is read-only and has a label' {
    (cmd /c "fsutil fsinfo volumeinfo $drive\") -join '; '
}
Test-That 'disk.raw has the size that the report tells' {
    "$((Get-Item -LiteralPath "$drive\disk.raw").Length) bytes"
}
Test-That 'the second read of disk.raw gives what the first gave, from the cache' {
    $stream = [IO.File]::OpenRead("$drive\disk.raw")
    try {
        $one = New-Object byte[] 1048576; $two = New-Object byte[] 1048576
        [void] $stream.Read($one, 0, 1048576); $stream.Position = 0; [void] $stream.Read($two, 0, 1048576)
        [Convert]::ToBase64String($one) -eq [Convert]::ToBase64String($two)
    } finally { $stream.Dispose() }
}

$found = Get-ChildItem -LiteralPath "$drive\" -Directory | ForEach-Object {
    Get-ChildItem -LiteralPath $_.FullName -Recurse -Force -File -Attributes !ReparsePoint -ErrorAction SilentlyContinue
} | Select-Object -First $Files
Write-Host "        $(@($found).Count) files are compared with what extract copies"
Test-That 'files read through the mount are those that extract copies' {
    $to = Join-Path $work 'extracted'
    $paths = $found | ForEach-Object { $_.FullName.Substring(3).Replace('\', '/') }
    $list = Join-Path $work 'paths.txt'
    [IO.File]::WriteAllLines($list, [string[]] $paths, (New-Object Text.UTF8Encoding $false))
    & $Program extract $Image --to $to --from-file $list 2> (Join-Path $work 'extract.txt')
    $wrong = 0
    foreach ($file in $found) {
        $copy = Join-Path $to $file.FullName.Substring(3)
        $mounted = try { (Get-FileHash -LiteralPath "\\?\$($file.FullName)").Hash } catch { 'unreadable' }
        $extracted = if (Test-Path -LiteralPath $copy) { (Get-FileHash -LiteralPath $copy).Hash } else { 'missing' }
        if ($mounted -ne $extracted) { $wrong++; Write-Host "        $($file.FullName): $mounted, $extracted" }
    }
    if ($wrong) { throw "$wrong files differ" }
    "$(@($found).Count) files"
}
Test-That 'extracted files keep their named streams, attributes and times' {
    $to = Invoke-Extract 'with-streams' $found
    $streams = Compare-Copies $to $found
    $beside = @(Select-String -LiteralPath (Join-Path $to 'manifest.jsonl') -SimpleMatch '"beside":').Count
    "$streams streams; $beside stand beside their files: the manifest says why"
}
Test-That 'going on with that extraction changes nothing' {
    $to = Join-Path $work 'with-streams'
    $before = Get-Content -Raw -LiteralPath (Join-Path $to 'manifest.jsonl')
    & $Program extract $Image --to $to --from-file (Join-Path $work 'with-streams.txt') --streams --resume 2> (Join-Path $work 'resumed.txt')
    [void] (Compare-Copies $to $found)
    $after = Get-Content -Raw -LiteralPath (Join-Path $to 'manifest.jsonl')
    if (($before -split "`n").Count -ne ($after -split "`n").Count) { throw 'the manifest has more rows, or fewer' }
    $true
}
# Folders that are hidden, of the system or read-only, and not too large.
$marked = Get-ChildItem -LiteralPath "$drive\" -Directory | ForEach-Object {
    Get-ChildItem -LiteralPath $_.FullName -Recurse -Depth 2 -Force -Directory -Attributes !ReparsePoint -ErrorAction SilentlyContinue
} | Where-Object {
    ($_.Attributes -band [IO.FileAttributes] 'ReadOnly, Hidden, System') -and
    @(Get-ChildItem -LiteralPath $_.FullName -Recurse -Force -ErrorAction SilentlyContinue | Select-Object -First 201).Count -le 200
} | Select-Object -First 5
Test-That 'extracted folders keep their named streams, attributes and times' {
    if (-not $marked) { return 'there is none that is marked' }
    $streams = Compare-Copies (Invoke-Extract 'folders' $marked) $marked
    "$(@($marked).Count) folders, $streams streams"
}
Test-That 'names are found in any case' {
    $one = @($found)[0].FullName
    (Test-Path -LiteralPath $one.ToUpper()) -and (Test-Path -LiteralPath $one.ToLower())
}
Test-That 'wildcards find what a whole listing finds' {
    $folder = @($found)[0].DirectoryName
    $all = @(Get-ChildItem -LiteralPath $folder -Force | Where-Object Name -like '*.*' | ForEach-Object Name)
    $some = @([IO.Directory]::GetFileSystemEntries($folder, '*.*') | Split-Path -Leaf | Where-Object { $_ -like '*.*' })
    -not (Compare-Object $all $some)
}
Test-That 'creating is refused' { Assert-WriteFails { [IO.File]::WriteAllText("$drive\new.txt", 'x') } }
Test-That 'opening for writing is refused' { Assert-WriteFails { [IO.File]::Open("$drive\disk.raw", 'Open', 'ReadWrite').Dispose() } }
Test-That 'deleting is refused' { Assert-WriteFails { [IO.File]::Delete("$drive\report.json") } }
Test-That 'renaming is refused' { Assert-WriteFails { [IO.File]::Move("$drive\report.json", "$drive\other.json") } }
Test-That 'changing attributes is refused' { Assert-WriteFails { [IO.File]::SetAttributes("$drive\report.json", 'Hidden') } }
Test-That 'a second mount on the letter is refused' {
    & $Program $Image $drive 2> (Join-Path $work 'second.txt')
    $LASTEXITCODE -eq 1
}
Test-That 'the image cannot be opened for writing while it is mounted' {
    Assert-WriteFails { [IO.File]::Open($Image, 'Open', 'Write', 'ReadWrite').Dispose() }
}
Test-That 'unmount takes it down' {
    & $Program unmount $drive
    if ($LASTEXITCODE -ne 0) { throw "exit code $LASTEXITCODE" }
    $mount.WaitForExit(10000) -and -not (Test-Path "$drive\")
}
Test-That 'a folder as the target is made, and gone afterwards' {
    $folder = Join-Path $work 'mounted'
    $process = Start-Mount $folder
    & $Program unmount $folder
    $process.WaitForExit(10000) -and -not (Test-Path -LiteralPath $folder)
}
Test-That 'a process that is killed leaves no mount behind' {
    $process = Start-Mount $drive
    $process.Kill(); $process.WaitForExit()
    Start-Sleep -Seconds 1
    -not (Test-Path "$drive\")
}
Test-That 'no file beside the image changed' { -not (Compare-Object $state (Get-State)) }
Test-That 'no byte of the image changed' { (Get-FileHash -LiteralPath $Image).Hash -eq $hash }

Write-Host $(if ($failed) { "$failed checks failed; more is in $work" } else { 'all checks passed' })
Write-Host 'Left for you to try: close the console of a mount, log off, look at the drive in Explorer with and without administrator rights.'
exit [Math]::Min($failed, 1)
