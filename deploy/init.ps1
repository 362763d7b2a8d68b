# Starts film-lakehouse, as init.sh does: its folder, its images, its servers.  init.ps1 [FOLDER]
param([string]$Folder = "film-lakehouse")
$ErrorActionPreference = "Stop"
$Deploy = $PSScriptRoot
$Root = Split-Path $Deploy
if (Test-Path $Folder -PathType Leaf) { throw "$Folder is a file; name a folder." }
if ((Test-Path "$Folder/nextup.toml") -and -not (Select-String -Quiet '^recipe = "film-lakehouse"' "$Folder/nextup.toml")) {
    throw "$Folder is another recipe's; name a new folder, or one of film-lakehouse."
}
$Engine = if ($env:ENGINE) { $env:ENGINE } elseif (Get-Command docker -ErrorAction SilentlyContinue) { "docker" } else { "podman" }

function Invoke-Checked([string]$Program, [string[]]$Words) {
    & $Program @Words
    if ($LASTEXITCODE -ne 0) { throw "$Program $($Words[0]) failed." }
}

if (-not (Test-Path "$Folder/nextup.toml")) {
    Invoke-Checked "nextup" @("init", "--recipe", "film-lakehouse", $Folder)
}
foreach ($Target in "nextup", "spark", "mlflow", "airflow") {
    & $Engine image inspect "nextup/${Target}:0.1.0" *> $null
    if ($LASTEXITCODE -ne 0) {
        Invoke-Checked $Engine @("build", "--target", $Target, "--file", "$Root/deploy/images/Dockerfile", "--tag", "nextup/${Target}:0.1.0", $Root)
    }
}
Set-Location $Folder
$env:PWD = (Get-Location).Path  # compose.yaml mounts this folder
Invoke-Checked $Engine @("compose", "-f", "$Deploy/compose.yaml", "--env-file", ".env", "--profile", "film-lakehouse", "up", "--detach")
Write-Output "API http://127.0.0.1:8000/docs, Airflow :8082, MLflow :5000, Spark :8081, Grafana :3000; passwords are in .env."
