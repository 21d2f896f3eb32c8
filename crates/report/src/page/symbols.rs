//! The symbols and words of the report, each with its definition.

/// Symbol and definition, in the order in which a reader needs them; both in the markup of captions.
pub(super) const SYMBOLS: [(&str, &str); 29] = [
    (
        "CE, MSE",
        "the losses of a sample with one-hot target y and q = softmax(logits): −ln q_y, and ‖q − y‖² over the number \
         of outputs",
    ),
    ("E_p", "mean over the analysed samples p; without other words all training images"),
    (
        "W, P",
        "weight matrix of the analysed dense layer, d_out × d_in, and the number of its entries; \
         all matrices here are P × P, over these weights",
    ),
    ("g_p, h_p", "gradient and Hessian of the loss of sample p"),
    ("H, v_i, λ_i", "Hessian of the mean loss, E_p[h_p], and its eigenpairs by descending eigenvalue"),
    ("A_ii", "v_iᵀAv_i: the diagonal of a matrix A in the eigenbasis of H; H_ii is λ_i"),
    (
        "C",
        "covariance of the mini-batch gradient, (1/B)(E_p[g_p·g_pᵀ] − ḡḡᵀ) with ḡ = E_p[g_p] and B samples a batch, \
         drawn \
         with replacement",
    ),
    ("M₂", "second moment of the per-sample Hessians, E_p[h_p²]; the paper's theorem is C ≈ (σ_w²/2B)·M₂"),
    (
        "γ",
        "exponent of C_ii ∝ H_ii^γ: slope of log C_ii on log H_ii by least squares; γ_emp that of the measured C; \
         γ_AWD that \
         of M₂, which the paper calls the AWD-derived covariance; γ_dual, ours, that of the duality's full covariance \
         C_AWD",
    ),
    (
        "𝒩",
        "number of leading directions that a fit looks at, the paper's for each setting; those below rounding are \
         left out",
    ),
    (
        "𝒩 found",
        "the same, found by the signs of the eigenvalues of H: directions above the lowest t at which (1 + number \
         below −t) is at most \
         1 % of the number above t; none where no t reaches that, because noise cannot be told from curvature",
    ),
    ("R²", "share of the variance of the logarithms that a fit explains"),
    (
        "AWD",
        "activity–weight duality: a change Δa_p of the layer's input a_p, here to a sample of the same class, acts as \
         the change of \
         weights Δw_p = (WΔa_p) ⊗ a_p/‖a_p‖²",
    ),
    (
        "C_AWD",
        "what the duality predicts for C: ½E[d·dᵀ] with d the mean over a batch of x_p + y_p, x_p = h_p·Δw_p, y_p = \
         δ_p ⊗ Δa_p, and δ_p the \
         gradient of the loss in the layer's output Wa_p",
    ),
    ("C^hh, C^hg, C^gg", "its terms, ½E[x̄x̄ᵀ], ½E[x̄ȳᵀ + ȳx̄ᵀ] and ½E[ȳȳᵀ], x̄ and ȳ being means over a batch"),
    ("SD", "sample-diagonal: the part of C^hh in which both factors belong to one sample, (1/2B)E_p[x_p·x_pᵀ]"),
    (
        "SD,WD",
        "also weight-diagonal: of SD, what is diagonal in the eigenbasis of each h_p, (1/2B)E_p[Σ_m \
         κ_m²(u_m·Δw_p)²u_m·u_mᵀ]",
    ),
    ("σ_w²", "variance of Δw_p in a direction in the range of h_p, fitted as tr C^{hh}_{SD}·2B/tr M₂"),
    ("κ_m, u_m", "eigenpairs of one sample's h_p by descending |κ|; κ_max is the largest ‖h_p‖ of all samples"),
    (
        "X, Y",
        "in alignment: curvature |κ_m| of a sample's eigenpair and its alignment (u_m·v_i)² with a direction of H",
    ),
    (
        "G_i(k)",
        "E_p[Σ_{m≤k} κ_m²(u_m·v_i)²/Σ_m κ_m²(u_m·v_i)²]: what a sample's k leading eigenpairs carry of its part of \
         (M₂)_ii, mean over samples",
    ),
    (
        "λ′, m′, γ(v)",
        "λ′ = vᵀHv/κ_max, m′ = vᵀM₂v/κ_max², and the pointwise exponent ln m′/ln λ′ of a direction v; E|h| is \
         E_p|h_p| in the \
         place of H where h_p is indefinite",
    ),
    ("K, R_ij", "a matrix A in the eigenbasis V of another, VᵀAV, and its normalised coupling K_ij/√|K_ii·K_jj|"),
    (
        "commutator error",
        "the paper's: ‖AB − BA‖/‖AB‖; its ratio to that of random directions is 1 for those. Norms are Frobenius's",
    ),
    ("norm error", "ours: ‖AB − BA‖/(‖A‖‖B‖). It is small for any two matrices of low rank, random ones included"),
    ("leakage", "root mean square of K off its diagonal over that of its diagonal"),
    ("eigen-alignment", "share of the squared norm of K on its diagonal, Σ_i K_ii²/‖K‖²; 1 for matrices that commute"),
    (
        "random",
        "what a matrix of the same spectrum has whose eigenvectors are Haar-random, that is uniformly distributed; \
         for the overlap of k leading directions k/P",
    ),
    (
        "GGN",
        "Gauss–Newton matrix: the part of H without the curvature of the network, E_p[JᵀQJ] with J the derivative of \
         the logits and Q the loss's Hessian in them",
    ),
];
