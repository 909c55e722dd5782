"""The programs behind `gate_filter`: one row of every table after another, in registers.

A program has a few filters, [BLOCK_P] of them side by side, and steps through the tokens of their
chunk. Sums of products of numbers in [0, 1]: no logarithm, no quotient, exact at gates of 0 and 1.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl


@triton.jit
def filter_fwd(
    # in: gates of every token; 1 where a momentum enters the memory, else 0
    lr_ptr, gamma_ptr, eta_ptr, live_ptr,
    # out: what each memory has of the first memory, of the tokens, of the first momentum; and what
    # each momentum has of the first; and what the last momentum has of the tokens
    b_ptr, a_ptr, c_ptr, m_ptr, e_ptr,
    # sizes
    P, C: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """momentum_t = eta_t momentum_{t-1} + lr_t at t; memory_t = gamma_t memory_{t-1} + momentum_t.

    A program has BLOCK_P filters.
    """
    p = tl.program_id(0).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    i = tl.arange(0, BLOCK_C)
    in_p = p < P
    inside = in_p[:, None] & (i < C)[None, :]
    memory = tl.zeros([BLOCK_P, BLOCK_C], dtype=ACC)
    momentum = tl.zeros([BLOCK_P, BLOCK_C], dtype=ACC)
    b = tl.full([BLOCK_P], 1.0, ACC)
    m = tl.full([BLOCK_P], 1.0, ACC)
    c = tl.zeros([BLOCK_P], dtype=ACC)
    for t in range(C):
        at = p * C + t
        lr = tl.load(lr_ptr + at, mask=in_p, other=0.0).to(ACC)
        gamma = tl.load(gamma_ptr + at, mask=in_p, other=0.0).to(ACC)
        own = tl.where(i[None, :] == t, lr[:, None], 0.0)
        b *= gamma
        memory *= gamma[:, None]
        if MOMENTUM:
            eta = tl.load(eta_ptr + at, mask=in_p, other=0.0).to(ACC)
            momentum = eta[:, None] * momentum + own
            m *= eta
            c *= gamma
            if MASKED:
                live = tl.load(live_ptr + at, mask=in_p, other=0.0).to(ACC)
                memory += live[:, None] * momentum
                c += live * m
            else:
                memory += momentum
                c += m
            tl.store(c_ptr + at, c.to(c_ptr.dtype.element_ty), mask=in_p)
            tl.store(m_ptr + at, m.to(m_ptr.dtype.element_ty), mask=in_p)
        else:
            memory += own
        tl.store(b_ptr + at, b.to(b_ptr.dtype.element_ty), mask=in_p)
        row = a_ptr + at[:, None] * C + i[None, :]
        tl.store(row, memory.to(a_ptr.dtype.element_ty), mask=inside)
    if MOMENTUM:
        row = e_ptr + p[:, None] * C + i[None, :]
        tl.store(row, momentum.to(e_ptr.dtype.element_ty), mask=inside)


@triton.jit
def filter_bwd(
    # in: gates, and tables of `filter_fwd`
    lr_ptr, gamma_ptr, eta_ptr, live_ptr, b_ptr, a_ptr, c_ptr, m_ptr,
    # in: gradients to its tables
    g_b_ptr, g_a_ptr, g_c_ptr, g_m_ptr, g_e_ptr,
    # between: what every momentum has of the tokens
    table_ptr,
    # out: gradients to the gates
    g_lr_ptr, g_gamma_ptr, g_eta_ptr,
    # sizes
    P, C: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The same recurrence in reverse; programs as in `filter_fwd`.

    What a memory or momentum has of a later token is zero in the tables: gradients there meet
    those zeros and go nowhere.
    """
    p = tl.program_id(0).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    i = tl.arange(0, BLOCK_C)
    in_p = p < P
    inside = in_p[:, None] & (i < C)[None, :]
    memory = tl.zeros([BLOCK_P, BLOCK_C], dtype=ACC)  # gradients to what is named so
    momentum = tl.zeros([BLOCK_P, BLOCK_C], dtype=ACC)
    b = tl.zeros([BLOCK_P], dtype=ACC)
    c = tl.zeros([BLOCK_P], dtype=ACC)
    m = tl.zeros([BLOCK_P], dtype=ACC)
    if MOMENTUM:
        for t in range(C):
            at = p * C + t
            lr = tl.load(lr_ptr + at, mask=in_p, other=0.0).to(ACC)
            eta = tl.load(eta_ptr + at, mask=in_p, other=0.0).to(ACC)
            momentum = eta[:, None] * momentum + tl.where(i[None, :] == t, lr[:, None], 0.0)
            row = table_ptr + at[:, None] * C + i[None, :]
            tl.store(row, momentum.to(table_ptr.dtype.element_ty), mask=inside)
        tl.debug_barrier()  # what follows reads what this has stored
        momentum = tl.load(g_e_ptr + p[:, None] * C + i[None, :], mask=inside, other=0.0).to(ACC)
    for back in range(C):
        t = C - 1 - back
        at = p * C + t
        row = at[:, None] * C + i[None, :]
        gamma = tl.load(gamma_ptr + at, mask=in_p, other=0.0).to(ACC)
        earlier = in_p & (t > 0)
        above = inside & (t > 0)
        memory += tl.load(g_a_ptr + row, mask=inside, other=0.0).to(ACC)
        b += tl.load(g_b_ptr + at, mask=in_p, other=0.0).to(ACC)
        g_gamma = b * tl.load(b_ptr + at - 1, mask=earlier, other=1.0).to(ACC)
        g_gamma += tl.sum(memory * tl.load(a_ptr + row - C, mask=above, other=0.0).to(ACC), 1)
        if MOMENTUM:
            eta = tl.load(eta_ptr + at, mask=in_p, other=0.0).to(ACC)
            c += tl.load(g_c_ptr + at, mask=in_p, other=0.0).to(ACC)
            m += tl.load(g_m_ptr + at, mask=in_p, other=0.0).to(ACC)
            if MASKED:
                live = tl.load(live_ptr + at, mask=in_p, other=0.0).to(ACC)
                momentum += live[:, None] * memory
                m += live * c
            else:
                momentum += memory
                m += c
            g_gamma += c * tl.load(c_ptr + at - 1, mask=earlier, other=0.0).to(ACC)
            g_eta = m * tl.load(m_ptr + at - 1, mask=earlier, other=1.0).to(ACC)
            had = tl.load(table_ptr + row - C, mask=above, other=0.0).to(ACC)
            g_eta += tl.sum(momentum * had, 1)
            g_lr = tl.sum(tl.where(i[None, :] == t, momentum, 0.0), 1)
            tl.store(g_eta_ptr + at, g_eta, mask=in_p)
            momentum *= eta[:, None]
            m *= eta
            c *= gamma
        else:
            g_lr = tl.sum(tl.where(i[None, :] == t, memory, 0.0), 1)
        tl.store(g_lr_ptr + at, g_lr, mask=in_p)
        tl.store(g_gamma_ptr + at, g_gamma, mask=in_p)
        memory *= gamma[:, None]
        b *= gamma
