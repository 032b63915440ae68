from collect.slurm import refusal


def test_a_machine_without_slurm_is_told_where_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = refusal({"runtime": 5})
    assert refused is not None
    assert "\n" not in refused
    assert "sbatch was not found" in refused
    assert "login node" in refused
