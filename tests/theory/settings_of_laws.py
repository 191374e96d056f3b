"""One plain setting of every law, from which tests depart."""

from __future__ import annotations

MIXTURE = {"d": 40, "n": 60, "lam": 0.1, "p2": 0.3}
SELECTION = {"p": 0.2, "phi": 0.9, "psi": 0.3, "mu2": 1.5}
SYMBOLS = {"K": 20, "beta": 1.1, "M": 30, "k": 4}
REPLACE = {"M": 20, "k": 3, "sigma": 1.5, "growth": 0.5, "ddof": 1}
POOL = {"M": 20, "t": 3, "sigma": 1.5, "ddof": 0}

SETTINGS = {
    **{
        f"gaussian.{name}": REPLACE
        for name in ("w2_mean", "w2_var", "w2_mean_leading", "w2_var_leading")
    },
    **{f"gaussian.{name}": REPLACE for name in ("w2_var_as_published", "sample_var")},
    **{
        f"gaussian.{name}": {"M": 20, "k": 3}
        for name in ("sigma_mean", "logsigma_mean", "logsigma_var")
    },
    **{
        f"gaussian.{name}": {"d": 3, "M": 20, "k": 3}
        for name in ("nd_frechet_leading", "nd_logdet", "nd_trS2")
    },
    **{f"gaussian.{name}": POOL for name in ("acc_v", "acc_e", "accsub_v", "accsub_e")},
    **{f"gaussian.{name}": {**POOL, "pi": 0.3} for name in ("mix_v", "mix_e")},
    **{f"gaussian.{name}": {"M": 20, "pi": 0.3, "t": 50} for name in ("mixfixed_v", "mixfixed_e")},
    "gcd.accuracy": {"D": 10, "N": 100},
    "gcd.learned_count": {"D": 10},
    "gcd.survives": {"q": 9, "n": 200, "k": 3, "examples": 2.0, "N": 100},
    "gcd.said": {"p": 3, "n": 50, "k": 3, "noise": 0.1, "pi": 0.2},
    **{
        f"gcd.sieve_{what}": {"n": 200, "k": 3, "base": 10, "N": 100, "examples": 2.0}
        for what in ("accuracy", "learned")
    },
    "gaussian.acc_w2_leading": {"M": 20, "t": 3},
    **{
        f"growing.{name}": {"M": 20, "a": 0.3, "t": 5}
        for name in ("share_known", "provenance_known")
    },
    "gains.two_stage": {"d": 40, "n": 60, "lam": 0.1, "p2": 0.3},
    "gains.self_distilled": {"d": 40, "n": 60, "lam": 0.1, "xi": 0.5},
    "kde.mix_drawn": {"M": 20, "h": 0.3, "a": 0.2, "k": 5},
    "preferences.share": {"x": 0.3, "q": 0.6, "s": 1.0, "t": 4, "k": 8},
    "preferences.least_share": {"s": 1.0, "k": 8},
    "growing.ols_share_known": {"d": 4, "T": 40, "a": 0.3, "t": 5},
    "gaussian.weighted_mean_limit": {"n1": 4, "n2": 6, "w": 0.5},
    "gaussian.acc_limit_v": {"M": 20},
    "strong.mixture": {**MIXTURE, "beta2": 0.5, "m": 30},
    "strong.mixture_equal": MIXTURE,
    "strong.iso_ridgeless": {"d": 40, "n": 60, "p2": 0.3},
    "strong.noncommuting": {**MIXTURE, "m": 30},
    "strong.iter_mix": {"d": 40, "n": 400, "p2": 0.3, "t": 3},
    "regression.ols_replace": {"d": 4, "T": 20, "k": 3},
    "regression.ols_accumulate": {"d": 4, "T": 20, "k": 3},
    "regression.ols_mix_fresh": {"d": 4, "T": 40, "pi": 0.4},
    "regression.ols_mix_fixedreal": {"d": 4, "T": 40, "pi": 0.4},
    "regression.ridge_iterated": {"d": 40, "n": 60, "lam": 0.1, "k": 3},
    "regression.ols_chain_then_ridge": {"d": 40, "T0": 90, "g": 2, "T": 60, "lam": 0.1},
    "regression.opt_ridge_exponent": {"beta": 1.5, "r": 0.5, "b": 0.5},
    "tails.hutter": {"beta": 1.5, "T": 50, "N": 500},
    "tails.asym_real": {"beta": 1.8, "T": 2000},
    "tails.asym_cut": {"beta": 1.8, "T": 2000, "k": 100},
    "tails.asym_narrow": {"beta": 1.8, "beta2": 2.2, "T": 2000},
    "tails.gens_resample": {"beta": 1.5, "T": 50, "g": 3, "N": 500},
    "tails.gens_mislabel": {"beta": 1.5, "T": 50, "g": 3, "N": 500},
    "tails.gens_relabel": {"beta": 1.5, "T": 50, "g": 3, "N": 500},
    "tails.bigram_tv": {"beta": 1.5, "T": 50, "N": 500},
    "tails.memory_error": {"beta": 1.5, "d": 32, "N": 50},
    **{
        f"discrete.{name}": SYMBOLS
        for name in ("heterozygosity", "l2_drift", "support", "support_branching")
    },
    **{
        f"discrete.{name}": SYMBOLS
        for name in ("missing_mass", "kl_replace", "kl_accumulate", "H_accumulate")
    },
    "discrete.survive_count": {"c": 3.0, "k": 4, "M": 1000},
    "discrete.fixation_time": {"p": 0.3, "M": 50},
    "discrete.l2_mix_limit": {"K": 20, "beta": 1.1, "M": 30, "pi": 0.2},
    "regression.glm_replace": {"d": 3, "n": 500, "k": 4},
    "regression.glm_accumulate": {"d": 3, "n": 500, "k": 4},
    "regression.glm_mix_fresh": {"d": 3, "n": 500, "pi": 0.4, "t": 4},
    "verification.threshold": {"phi": 0.9, "psi": 0.3},
    "verification.acc_average": {**SELECTION, "d": 50, "N": 500},
    "verification.acc_ols": {**SELECTION, "d": 50, "N": 500},
    "verification.acc_average_iterated": {**SELECTION, "t": 3, "d": 50, "N": 500, "most": 300},
    "verification.acc_ridge": {**SELECTION, "d": 50, "N": 500, "lam": 0.1, "real": 100},
    "verification.halfspace": {"tg": 0.6, "tv": 0.9},
    "verification.halfspace_iterated": {"t": 2, "tg": 0.6, "tv": 0.9, "N": 1000, "d": 20},
    "verification.halfspace_rows": {"tg": 0.6, "tv": 0.9, "N": 1000, "d": 20},
    "kde.var": {"M": 20, "h": 0.3, "k": 3},
    "kde.var_scaled": {"M": 20, "b": 0.3, "k": 3},
    "kde.mise": {"M": 20, "h": 0.3, "k": 3},
    "kde.acc_var": {"M": 20, "h": 0.3, "t": 3},
    **{
        f"worlds.{name}": {"M": 20, "real": 0.3, "t": 3, "q": 0.02, "sigma": 1.5}
        for name in ("accumulate_e", "subsample_e")
    },
    "worlds.mix_e": {"M": 20, "pi": 0.3, "t": 3, "q": 0.02, "sigma": 1.5},
    "worlds.frozen_e": {"M": 20, "t": 3, "q": 0.02},
    "worlds.weighted_e": {"n1": 4, "n2": 6, "w": 0.5, "t": 3, "q": 0.02},
    "worlds.best_weight": {"n1": 4, "n2": 6, "q": 0.02},
    "worlds.kalman_e": {"M": 20, "m": 4, "t": 3, "q": 0.02},
    "worlds.kalman_limit": {"m": 4, "q": 0.02},
    "worlds.ols_mix": {"d": 4, "n": 100, "pi": 0.3, "t": 3, "q": 0.02, "beta": 0.5},
    "worlds.ols_accumulate": {"d": 4, "n": 100, "real": 0.3, "t": 3, "q": 0.02, "beta": 0.5},
    "worlds.ols_frozen": {"d": 4, "n": 100, "t": 3, "q": 0.02, "beta": 0.5},
    **{
        f"worlds.turning_{name}": {"t": 3, "mu2": 1.5, "d": 50, "N": 500, "angle": 0.2}
        for name in ("accuracy", "frozen")
    },
    **{
        f"worlds.novel_{name}": {"K": 20, "beta": 1.1, "M": 30, "t": 4, "h": 0.1}
        for name in ("frozen_missing", "frozen_tv", "nature_tv")
    },
    **{
        f"worlds.novel_{name}": {"K": 20, "beta": 1.1, "M": 30, "pi": 0.2, "t": 4, "h": 0.1}
        for name in ("mix_missing", "mix_tv")
    },
    "worlds.novel_kept_missing": {"K": 20, "beta": 1.1, "M": 30, "m": 6, "t": 4, "h": 0.1},
}
