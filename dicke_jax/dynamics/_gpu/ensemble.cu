// The mean-field equations of many rows, each integrated from its first step to its last, in one launch.
//
// LANES threads, a power of two, hold one trajectory: lane k the spins of subset k and their field, and one mode where
// it has one. Every order is written out, so that the Taylor coefficients of x, y and the field stay in registers; z
// and the modes enter the recurrence by their last order alone. Step sizes are those of diffrax's PIDController, in the
// way its loop and `FirstStep` use them. A trajectory that has ended makes room for the next row at once.
//
// A state at a time within a step is the end of a shorter step from the same start, which is then taken whole.
//
// Nothing is included: NVRTC compiles this file as it is, and so does g++ behind the tests' emulated.cpp. To be defined:
// REAL, ORDER, SUBSETS, MODES, LANES, HYPERCUBE, GAUGE, DISSIPATION, LINEAR, STATIONARY, SAVES, BLOCK, BLOCKS_EACH.

#define ALL 0xffffffffu
#define SIZE (3 * SUBSETS + 2 * MODES)
#define SUCCESSFUL 0
#define NONFINITE 1
#define MAX_STEPS_REACHED 2
#define DT_MIN_REACHED 3
#define EVENT_OCCURRED 4
#define EPSILON (sizeof(REAL) == 8 ? REAL(2.22e-16) : REAL(1.19e-7))

struct Run {
  const REAL *m, *alpha;  // (rows, 3, K), and complex (rows, M)
  const REAL *omega_spin, *omega_mode, *kappa, *g0, *weights, *jump_rates;  // a row's are `stride_...` numbers apart
  const REAL *slowness;   // (M,), of the modes, by which dy/dt counts as motion
  const REAL *ends;       // t1, 100 numbers before t1, and the residual that is none
  const REAL *couplings;  // (M, K), those of no hypercube
  const REAL *jump_linear, *jump_constant;  // (jumps, 3, 3) and (jumps, 3)
  const REAL *save_times;  // between start and end; as shares of the end in runs until nothing moves
  const REAL *knots, *pieces;  // where a rate has a kink, and of each piece 0 to `knots` values there and slopes:
                               // omega_spin, g0, omega_mode of each mode, kappa of each mode
  REAL *m_out, *alpha_out, *overlaps, *occupations;  // of `slots` times, m and alpha of as many or the last; or null
  REAL *time, *residuals;
  int *code, *steps, *rejected;
  unsigned *queue;  // the next row that nobody has taken
  long long rows;
  long long stride_omega_spin, stride_omega_mode, stride_kappa, stride_g0, stride_weights, stride_jump_rates;
  long long stride_slowness, stride_ends;
  double t0, rtol, atol;
  int jumps, max_steps, saves, slots, state_slots, first_slot, num_knots, first_piece;
};

struct Lane {
  REAL x, y, z, re, im;
};

__device__ inline bool is_finite(REAL v) { return v - v == 0; }
__device__ inline bool is_finite_lane(const Lane &s) {
  return is_finite(s.x) && is_finite(s.y) && is_finite(s.z) && is_finite(s.re) && is_finite(s.im);
}

struct Rates {
  REAL flip, turn, drive, omega, loss;
#if LINEAR
  REAL flip_slope, turn_slope, drive_slope, omega_slope, loss_slope;
#endif
#if DISSIPATION
  REAL T[3][3], c[3];
#endif
};

struct Maps {
#if HYPERCUBE
  REAL sign[5];  // -1 in the upper half of the lanes, by each of their bits
#else
  const REAL *to_field, *to_modes;
#endif
};

__device__ inline REAL size(REAL v) { return v < 0 ? -v : v; }
__device__ inline float root(float v, float exponent) { return exp2f(log2f(v) * exponent); }

template <class T> __device__ inline T sum_over_lanes(T v) {
#pragma unroll
  for (int bit = LANES / 2; bit > 0; bit /= 2) v += __shfl_xor_sync(ALL, v, bit, LANES);
  return v;
}

// of numbers, none of them NaN: lanes would not agree
template <class T> __device__ inline T largest_over_lanes(T v) {
#pragma unroll
  for (int bit = LANES / 2; bit > 0; bit /= 2) {
    const T other = __shfl_xor_sync(ALL, v, bit, LANES);
    v = other > v ? other : v;
  }
  return v;
}

__device__ inline int mode_of(int lane) {
#if HYPERCUBE
  if (GAUGE && lane == 0) return 0;
  for (int bit = 0; (1 << bit) < SUBSETS; bit++)
    if (lane == 1 << bit) return MODES - 1 - bit;
  return -1;
#else
  return lane < MODES ? lane : -1;
#endif
}

#if HYPERCUBE
// sum_j (-1)^(number of ones in j & k) v_j on lane k: field and overlaps, of a mode on each lane with one bit or none
__device__ inline REAL walsh(const Maps &maps, REAL v) {
#pragma unroll
  for (int bit = 0; (1 << bit) < LANES; bit++) v = maps.sign[bit] * v + __shfl_xor_sync(ALL, v, 1 << bit, LANES);
  return v;
}
__device__ inline REAL field(const Maps &maps, REAL q) { return walsh(maps, q); }
__device__ inline REAL project(const Maps &maps, REAL s) { return walsh(maps, s); }
#else
__device__ inline REAL field(const Maps &maps, REAL q) {
  REAL h = 0;
#pragma unroll 4
  for (int mu = 0; mu < MODES; mu++) h += maps.to_field[mu * LANES] * __shfl_sync(ALL, q, mu, LANES);
  return h;
}
__device__ inline REAL project(const Maps &maps, REAL s) {
  REAL p = 0;
#pragma unroll 4
  for (int k = 0; k < SUBSETS; k++) p += maps.to_modes[k * LANES] * __shfl_sync(ALL, s, k, LANES);
  return p;
}
#endif

// dy/dt, from the field's products and the overlaps; p is the order before c
__device__ inline Lane changes(
    const Rates &r, REAL turned_x, REAL turned_y, REAL drive, const Lane &c, const Lane &p, bool constant) {
  Lane d;
  d.x = -turned_y;
  d.y = turned_x - r.flip * c.z;
  d.z = r.flip * c.y;
  d.re = r.omega * c.im - r.loss * c.re;
  d.im = -r.omega * c.re - r.loss * c.im - drive;
#if LINEAR
  d.y -= r.flip_slope * p.z;
  d.z += r.flip_slope * p.y;
  d.re += r.omega_slope * p.im - r.loss_slope * p.re;
  d.im -= r.omega_slope * p.re + r.loss_slope * p.im;
#endif
#if DISSIPATION
  d.x += r.T[0][0] * c.x + r.T[0][1] * c.y + r.T[0][2] * c.z;
  d.y += r.T[1][0] * c.x + r.T[1][1] * c.y + r.T[1][2] * c.z;
  d.z += r.T[2][0] * c.x + r.T[2][1] * c.y + r.T[2][2] * c.z;
  if (constant) {
    d.x += r.c[0];
    d.y += r.c[1];
    d.z += r.c[2];
  }
#endif
  return d;
}

__device__ inline Rates scaled(const Rates &r, REAL h) {
  Rates out;
  out.flip = h * r.flip;
  out.turn = h * r.turn;
  out.drive = h * r.drive;
  out.omega = h * r.omega;
  out.loss = h * r.loss;
#if LINEAR
  out.flip_slope = h * h * r.flip_slope;
  out.turn_slope = h * h * r.turn_slope;
  out.drive_slope = h * h * r.drive_slope;
  out.omega_slope = h * h * r.omega_slope;
  out.loss_slope = h * h * r.loss_slope;
#endif
#if DISSIPATION
#pragma unroll
  for (int a = 0; a < 3; a++) {
    out.c[a] = h * r.c[a];
#pragma unroll
    for (int b = 0; b < 3; b++) out.T[a][b] = h * r.T[a][b];
  }
#endif
  return out;
}

#if LINEAR
// rates at a time, of the piece of all of them that it lies in: `own` holds those that are constant, of this row
__device__ inline Rates rates_at(const Run &run, const Rates &own, REAL weight, int mode, int piece, REAL t) {
  const REAL *const values = run.pieces + piece * (4 + 4 * MODES), *const slopes = values + 2 + 2 * MODES;
  const REAL from = t - run.knots[piece > 0 ? piece - 1 : 0];
  const REAL omega_spin = values[0] + slopes[0] * from, g0 = values[1] + slopes[1] * from;
  Rates r = own;
  r.flip += 2 * omega_spin;
  r.flip_slope = 2 * slopes[0];
  r.drive += weight * g0;
  r.drive_slope = weight * slopes[1];
  if (mode < 0) return r;
  r.turn += 4 * g0;
  r.turn_slope = 4 * slopes[1];
  r.omega += values[2 + mode] + slopes[2 + mode] * from;
  r.omega_slope = slopes[2 + mode];
  r.loss += (values[2 + MODES + mode] + slopes[2 + MODES + mode] * from) / 2;
  r.loss_slope = slopes[2 + MODES + mode] / 2;
  return r;
}
#endif

// a tenth of the time in which the fastest of all motions turns by a radian
__device__ inline REAL short_step(
    const Maps &maps, const Rates &r, const Lane &s, REAL g0, REAL omega_spin, bool mode) {
  const REAL h = size(field(maps, mode ? s.re : 0)), of_mode = size(r.omega) + size(r.loss);
  const REAL highest = largest_over_lanes(h == h ? h : 0);
  const REAL fastest = largest_over_lanes(of_mode == of_mode ? of_mode : 0);
  return REAL(0.1) / (2 * size(omega_spin) + fastest + size(g0) * (1 + 4 * highest));
}

#if STATIONARY
// the largest |dy/dt|, of what something depends on: not of subsets without spins, and of fast modes only a share
__device__ inline float seen_motion(const Lane &d, bool seen, bool mode, REAL slowness) {
  float largest = 0;
  const float all[5] = {float(d.x), float(d.y), float(d.z), float(d.re * slowness), float(d.im * slowness)};
#pragma unroll
  for (int i = 0; i < 5; i++) {
    const float v = !(i < 3 ? seen : mode) ? 0 : all[i] != all[i] ? __int_as_float(0x7f800000) : fabsf(all[i]);
    largest = v > largest ? v : largest;
  }
  return largest;
}
#endif

// a component's error in units of what is allowed; single precision is enough for the size of a step
__device__ inline float squared_error(float error, REAL y0, REAL y1, bool lost, REAL rtol, REAL atol) {
  const REAL before = size(y0), after = lost ? before : size(y1);
  const float allowed = float(atol + rtol * (before > after ? before : after));
  const float ratio = __fdividef(error == error ? error : __int_as_float(0x7f800000), allowed);
  return ratio * ratio;
}

// what is kept of one time; of m and alpha the last alone where they have one slot
__device__ inline void put(const Run &run, long long row, int slot, const Lane &s, REAL xi, int lane, int mode) {
  const bool of_state = run.state_slots == run.slots || slot == run.slots - 1;
  const long long at = row * run.slots + slot, state = run.state_slots == run.slots ? at : row;
  if (run.m_out && of_state && lane < SUBSETS) {
    REAL *const m = run.m_out + state * (3 * SUBSETS);
    m[lane] = s.x;
    m[SUBSETS + lane] = s.y;
    m[2 * SUBSETS + lane] = s.z;
  }
  if (mode < 0) return;
  if (run.alpha_out && of_state) {
    run.alpha_out[2 * (state * MODES + mode)] = s.re;
    run.alpha_out[2 * (state * MODES + mode) + 1] = s.im;
  }
  run.overlaps[at * MODES + mode] = xi;
  run.occupations[at * MODES + mode] = s.re * s.re + s.im * s.im;
}

#if SAVES
__device__ inline REAL save_time(const Run &run, int number, REAL t1) {
  return STATIONARY ? t1 * run.save_times[number] : run.save_times[number];
}
#endif

extern "C" __global__ void __launch_bounds__(BLOCK, BLOCKS_EACH) ensemble(const Run run) {
  const int lane = threadIdx.x % LANES, mode = mode_of(lane);
  const unsigned mine = (ALL >> (32 - LANES)) << (threadIdx.x % 32 - lane);  // the lanes of this trajectory
  const bool spin = lane < SUBSETS, has_mode = mode >= 0;
  const REAL infinity = REAL(__int_as_float(0x7f800000)), nan = REAL(__int_as_float(0x7fc00000));
  Maps maps;
#if HYPERCUBE
#pragma unroll
  for (int bit = 0; bit < 5; bit++) maps.sign[bit] = lane >> bit & 1 ? REAL(-1) : REAL(1);
#else
  __shared__ REAL to_field[MODES * LANES], to_modes[SUBSETS * LANES];
  for (int i = threadIdx.x; i < MODES * LANES; i += BLOCK) {
    const int mu = i / LANES, k = i % LANES;
    to_field[i] = k < SUBSETS ? run.couplings[mu * SUBSETS + k] : 0;
  }
  for (int i = threadIdx.x; i < SUBSETS * LANES; i += BLOCK) {
    const int k = i / LANES, mu = i % LANES;
    to_modes[i] = mu < MODES ? run.couplings[mu * SUBSETS + k] : 0;
  }
  __syncthreads();
  maps.to_field = to_field + lane;
  maps.to_modes = to_modes + lane;
#endif

  long long row = run.rows;  // none yet
  bool over = true;
  int code = SUCCESSFUL, steps = 0;
  int rejected = 0;
  Lane s = {0, 0, 0, 0, 0};
  Rates r = {};
  REAL begin = 0, end = 0, t1 = 0, clip = 0, weight = 0;
#if SAVES
  int saved = 0;
  REAL next_save = infinity;
#endif
#if LINEAR
  Rates own = {};  // without what depends on time
  int piece = 0;
#endif
#if STATIONARY
  bool last = false;  // whether only the residual is still to be found
  bool seen = false;  // whether a subset has spins
  REAL threshold = 0, slowness = 0, found = 0;
#endif

  for (;;) {
    if (__any_sync(ALL, over)) {  // all lanes of a warp, so that exchanges are of all; for those that are over
      const bool had = over && row < run.rows;
      const REAL xi = project(maps, weight * s.z);
      const bool lost = (__ballot_sync(ALL, !is_finite_lane(s)) & mine) != 0;
      if (had) {
        put(run, row, run.slots - 1, s, xi, lane, mode);
        if (lane == 0) {
          run.code[row] = code == SUCCESSFUL && lost ? NONFINITE : code;
          run.steps[row] = steps;
          run.rejected[row] = rejected;
#if STATIONARY
          run.time[row] = begin;
          run.residuals[(row + 1) * run.slots - 1] = found;
#endif
        }
      }
      unsigned next = 0;
      if (over && lane == 0) next = atomicAdd(run.queue, 1u);
      next = __shfl_sync(ALL, next, 0, LANES);
      if (over) row = (long long)next;
      if (!__any_sync(ALL, row < run.rows)) return;

      const bool fresh = over && row < run.rows;
      REAL g0 = 0, omega_spin = 0;
      if (over) {
        s = {0, 0, 0, 0, 0};
        r = {};
        begin = end = weight = 0;
        code = SUCCESSFUL;
        steps = rejected = 0;
        over = false;
#if SAVES
        next_save = infinity;
#endif
      }
      if (fresh) {
        g0 = run.g0[row * run.stride_g0];
        omega_spin = run.omega_spin[row * run.stride_omega_spin];
        if (spin) weight = run.weights[row * run.stride_weights + lane];
        begin = REAL(run.t0);
        t1 = run.ends[row * run.stride_ends];
        clip = run.ends[row * run.stride_ends + 1];
#if STATIONARY
        threshold = run.ends[row * run.stride_ends + 2];
        last = false;
        seen = weight > 0;
        slowness = 0;
#endif
        if (spin) {
          const REAL *const m = run.m + row * (3 * SUBSETS);
          s.x = m[lane];
          s.y = m[SUBSETS + lane];
          s.z = m[2 * SUBSETS + lane];
          r.flip = 2 * omega_spin;
          r.drive = g0 * weight;
#if DISSIPATION
          for (int jump = 0; jump < run.jumps; jump++) {
            const REAL rate = run.jump_rates[row * run.stride_jump_rates + jump * SUBSETS + lane];
#pragma unroll
            for (int a = 0; a < 3; a++) {
              r.c[a] += rate * run.jump_constant[jump * 3 + a];
#pragma unroll
              for (int b = 0; b < 3; b++) r.T[a][b] += rate * run.jump_linear[(jump * 3 + a) * 3 + b];
            }
          }
#endif
        }
        if (has_mode) {
          const long long i = row * MODES + mode;
          s.re = run.alpha[2 * i];
          s.im = run.alpha[2 * i + 1];
          r.turn = 4 * g0;
          r.omega = run.omega_mode[row * run.stride_omega_mode + mode];
          r.loss = run.kappa[row * run.stride_kappa + mode] / 2;
#if STATIONARY
          slowness = run.slowness[row * run.stride_slowness + mode];
#endif
        }
#if SAVES
        saved = 0;
        next_save = run.saves > 0 ? save_time(run, 0, t1) : infinity;
#endif
#if LINEAR
        piece = run.first_piece;
        own = r;
        r = rates_at(run, own, weight, mode, piece, begin);
        const REAL *const values = run.pieces + piece * (4 + 4 * MODES), *const slopes = values + 2 + 2 * MODES;
        const REAL from = begin - run.knots[piece > 0 ? piece - 1 : 0];
        omega_spin += values[0] + slopes[0] * from;
        g0 += values[1] + slopes[1] * from;
#endif
      }
      bool fine = is_finite_lane(s) && is_finite(r.flip) && is_finite(r.turn) && is_finite(r.drive);
      fine = fine && is_finite(r.omega) && is_finite(r.loss);
#if STATIONARY
      fine = fine && is_finite(t1) && threshold > 0;  // where nothing makes it rest, no run has an end
#endif
#if DISSIPATION
      for (int a = 0; a < 3; a++) {
        fine = fine && is_finite(r.c[a]);
        for (int b = 0; b < 3; b++) fine = fine && is_finite(r.T[a][b]);
      }
#endif
      const bool bad = (__ballot_sync(ALL, !fine) & mine) != 0;
      const REAL told = short_step(maps, r, s, g0, omega_spin, has_mode);
#if SAVES
      const REAL xi_start = project(maps, weight * s.z);
      if (fresh && run.first_slot) put(run, row, 0, s, xi_start, lane, mode);
#endif
      if (fresh) {
        end = begin + told;
        end = end > t1 ? t1 : end;
      }
      if (fresh && bad) {
        over = true;
        code = NONFINITE;
        s = {nan, nan, nan, nan, nan};
#if STATIONARY
        found = nan;
#endif
      }
    }

    REAL target = end;
#if LINEAR
    if (!over && row < run.rows) {
      for (; piece < run.num_knots && begin >= run.knots[piece]; piece++);
      r = rates_at(run, own, weight, mode, piece, begin);
      if (piece < run.num_knots) {
        const REAL knot = run.knots[piece];
        end = end > knot - REAL(100) * EPSILON * size(knot) ? knot : end;
      }
      target = end;
    }
#endif
#if SAVES
#if STATIONARY
    const bool sample = !over && !last && next_save <= end;
#else
    const bool sample = !over && next_save <= end;
#endif
    target = sample ? next_save : end;
#endif

    // one step, of rates in units of its length: a coefficient is then a term of the sum
    const REAL h = target - begin;
    const Rates now = scaled(r, h);
    REAL x[ORDER], y[ORDER], f[ORDER];
    Lane c = s, previous = {0, 0, 0, 0, 0}, sum = {0, 0, 0, 0, 0};
#if STATIONARY
    float motion = 0;
#endif
#pragma unroll
    for (int n = 0; n < ORDER; n++) {
      x[n] = c.x;
      y[n] = c.y;
#if LINEAR
      f[n] = field(maps, now.turn * c.re + now.turn_slope * previous.re);
      const REAL drive = project(maps, now.drive * c.z + now.drive_slope * previous.z);
#else
      f[n] = field(maps, now.turn * c.re);
      const REAL drive = project(maps, now.drive * c.z);
#endif
      REAL turned_x = 0, turned_y = 0;  // the newest factors last: the rest need not wait for them
#pragma unroll
      for (int j = 1; j < n; j++) {
        turned_x += f[j] * x[n - j];
        turned_y += f[j] * y[n - j];
      }
      if (n > 0) {
        turned_x += f[0] * x[n];
        turned_y += f[0] * y[n];
      }
      turned_x += f[n] * x[0];
      turned_y += f[n] * y[0];
      const REAL share = REAL(1) / REAL(n + 1);
      const Lane d = changes(now, turned_x, turned_y, drive, c, previous, n == 0);
      previous = c;
      c = d;
#if STATIONARY
      if (n == 0) motion = seen_motion(c, seen, has_mode, slowness);
#endif
      c.x *= share;
      c.y *= share;
      c.z *= share;
      c.re *= share;
      c.im *= share;
      sum.x += c.x;
      sum.y += c.y;
      sum.z += c.z;
      sum.re += c.re;
      sum.im += c.im;
    }

    const REAL rtol = REAL(run.rtol), atol = REAL(run.atol);
    const Lane ahead = {s.x + sum.x, s.y + sum.y, s.z + sum.z, s.re + sum.re, s.im + sum.im};
    const bool no_number = spin && !(ahead.x == ahead.x && ahead.y == ahead.y && ahead.z == ahead.z);
    const bool no_amplitude = has_mode && !(ahead.re == ahead.re && ahead.im == ahead.im);
    const bool lost_spins = (__ballot_sync(ALL, no_number) & mine) != 0;
    const bool lost_modes = (__ballot_sync(ALL, no_amplitude) & mine) != 0;
    float error = 0;
    if (spin) {
      error += squared_error(float(size(c.x)), s.x, ahead.x, lost_spins, rtol, atol);
      error += squared_error(float(size(c.y)), s.y, ahead.y, lost_spins, rtol, atol);
      error += squared_error(float(size(c.z)), s.z, ahead.z, lost_spins, rtol, atol);
    }
    if (has_mode) {
      error += squared_error(float(size(c.re)), s.re, ahead.re, lost_modes, rtol, atol);
      error += squared_error(float(size(c.im)), s.im, ahead.im, lost_modes, rtol, atol);
    }
    error = sum_over_lanes(error) / SIZE;  // its root is what the controller calls the scaled error
    const bool keep = error < 1;
    const float least = keep ? 1.0f : 0.2f, most = keep ? 10.0f : 0.9f;
    float factor = 0.9f * root(error, -0.5f / ORDER);
    factor = factor < least ? least : factor > most ? most : factor;  // NaN stays NaN
    const REAL next = keep ? target : begin, next_end = next + h * REAL(factor);
    const bool stuck = !(next_end > next) || (!keep && !(next_end < target));

#if SAVES
    const bool looked_at = sample && keep && row < run.rows;
    if (__any_sync(ALL, looked_at)) {
      const REAL xi = project(maps, weight * ahead.z);
#if STATIONARY
      const REAL turn = field(maps, r.turn * ahead.re), drive = project(maps, r.drive * ahead.z);
      const Lane none = {0, 0, 0, 0, 0}, d = changes(r, turn * ahead.x, turn * ahead.y, drive, ahead, none, true);
      const float residual = largest_over_lanes(seen_motion(d, seen, has_mode, slowness));
      if (looked_at && lane == 0) run.residuals[row * run.slots + run.first_slot + saved] = REAL(residual);
#endif
      if (looked_at) {
        put(run, row, run.first_slot + saved, ahead, xi, lane, mode);
        saved++;
        next_save = saved < run.saves ? save_time(run, saved, t1) : infinity;
      }
    }
#endif

#if STATIONARY
    motion = largest_over_lanes(motion) / float(h);
    const bool at_rest = motion < float(threshold);
    const bool goes_on = !over && row < run.rows && !at_rest && !last;
    if (!over && row < run.rows && !goes_on) {
      over = true;
      found = REAL(motion);
      code = at_rest ? EVENT_OCCURRED : code;
    }
#else
    const bool goes_on = !over && row < run.rows;
#endif
#if SAVES
    if (goes_on && !looked_at) {
#else
    if (goes_on) {
#endif
      steps++;
      rejected += !keep;
      if (keep) {
        s.x = ahead.x;
        s.y = ahead.y;
        s.z = ahead.z;
        if (has_mode) s.re = ahead.re;
        if (has_mode) s.im = ahead.im;
      }
      begin = next > t1 ? t1 : next;
      end = next_end > clip ? (keep ? t1 : begin + REAL(0.5) * (t1 - begin)) : next_end;
      const bool ended = stuck || !(begin < t1) || steps >= run.max_steps;
      code = stuck ? DT_MIN_REACHED : !(begin < t1) ? SUCCESSFUL : ended ? MAX_STEPS_REACHED : code;
#if STATIONARY
      last = ended;
      end = end > begin ? end : begin + h;
#else
      over = ended;
      if (ended && code != SUCCESSFUL) s = {infinity, infinity, infinity, infinity, infinity};
#endif
    }
  }
}
