import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attributes, Context as TraceContext, Span } from '@opentelemetry/api';

/** Tells a collector what each request did, and how it came to those who are told of it. Null where none is configured. */
export interface Tracing {
  /** Answers a request over HTTP within a span of its own. */
  serve(request: IncomingMessage, response: ServerResponse, answer: () => void): void;
  /** Does something within a span. Its parent is `traceparent`, as W3C writes it; else what is being done here already. */
  within<Result>(
    name: string,
    attributes: Attributes,
    work: () => Result | Promise<Result>,
    traceparent?: unknown,
  ): Promise<Result>;
  /** Runs a statement within a span, where something is being traced. Its values are not told. */
  statement: <Result>(text: string, run: () => Promise<Result>) => Promise<Result>;
  /** What names the present span to another node. */
  carrier(): string | undefined;
  /** Notes by which span an event came about, whose delivery is then part of its trace. */
  note(event: Place, traceparent: unknown): void;
  /** Executes an event for a subscriber within the trace in which it came about. */
  deliver<Result extends object>(name: string, event: Place | null, execute: () => Promise<Result>): Promise<Result>;
  /** A result has been written to the first of those who get it. */
  written: (result: object) => void;
  /** Sends what has not been sent. */
  flush(): Promise<void>;
  /** The same, and no more after it. */
  stop(): Promise<void>;
}

/** An event of a room's log. */
interface Place {
  chatroomId: string;
  seq: number;
}

/** For so many events it is known by which span they came about; one is delivered within milliseconds, or by the sweep. */
const MOST_NOTED = 1_000;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/**
 * Starts tracing to an OpenTelemetry collector. All that it takes is loaded here, so that a server without it pays nothing.
 *
 * @param options.endpoint of OTLP over HTTP, without a path
 * @param options.ratio how many of the traces that begin here are told, from 0 to 1; what comes with a trace goes by it
 */
export async function startTracing(options: { endpoint: string; ratio: number; version: string }): Promise<Tracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'parley', 'service.version': options.version }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(options.ratio) }),
    spanProcessors: [
      new sdk.BatchSpanProcessor(new OTLPTraceExporter({ url: `${options.endpoint.replace(/\/$/, '')}/v1/traces` })),
    ],
  });
  // Not the global ones: two nodes live in one test process.
  const tracer = provider.getTracer('parley');
  const contexts = new AsyncLocalStorage<TraceContext>();
  const noted = new Map<string, TraceContext>();
  const results = new WeakMap<object, TraceContext>();

  function remote(traceparent: unknown): TraceContext | undefined {
    const [, traceId, spanId, flags] = (typeof traceparent === 'string' && TRACEPARENT.exec(traceparent)) || [];
    const found = {
      traceId: traceId ?? '',
      spanId: spanId ?? '',
      traceFlags: parseInt(flags ?? '0', 16),
      isRemote: true,
    };
    return api.isSpanContextValid(found) ? api.trace.setSpanContext(api.ROOT_CONTEXT, found) : undefined;
  }

  /** What is being done here; not what was done when a stream, a timer or a connection was begun that lives on. */
  function active(): TraceContext {
    const found = contexts.getStore() ?? api.ROOT_CONTEXT;
    return api.trace.getSpan(found)?.isRecording() ? found : api.ROOT_CONTEXT;
  }

  async function run<Result>(span: Span, parent: TraceContext, work: () => Result | Promise<Result>): Promise<Result> {
    try {
      return await contexts.run(api.trace.setSpan(parent, span), work);
    } catch (error) {
      // By its kind alone: what it says may repeat what was sent.
      span.setStatus({ code: api.SpanStatusCode.ERROR, message: (error as Error).name });
      throw error;
    } finally {
      span.end();
    }
  }

  return {
    serve(request, response, answer) {
      const parent = remote(request.headers.traceparent) ?? api.ROOT_CONTEXT;
      const attributes = {
        'http.request.method': request.method ?? '',
        'url.path': request.url?.split('?', 1)[0] ?? '',
      };
      const span = tracer.startSpan(
        `${request.method} ${attributes['url.path']}`,
        { kind: api.SpanKind.SERVER, attributes },
        parent,
      );
      response.once('close', () => {
        span.setAttribute('http.response.status_code', response.statusCode);
        span.end();
      });
      contexts.run(api.trace.setSpan(parent, span), answer);
    },
    within(name, attributes, work, traceparent) {
      const parent = remote(traceparent) ?? active();
      return run(tracer.startSpan(name, { attributes }, parent), parent, work);
    },
    statement(text, work) {
      const parent = active();
      if (parent === api.ROOT_CONTEXT) return work();
      const [verb = 'SQL'] = text.trim().split(/\s/, 1);
      const attributes = { 'db.system.name': 'postgresql', 'db.query.text': text.replace(/\s+/g, ' ').trim() };
      return run(tracer.startSpan(verb, { kind: api.SpanKind.CLIENT, attributes }, parent), parent, work);
    },
    carrier() {
      const span = api.trace.getSpan(active())?.spanContext();
      return span && `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 1}`;
    },
    note({ chatroomId, seq }, traceparent) {
      const parent = remote(traceparent);
      if (!parent) return;
      if (noted.size === MOST_NOTED) noted.delete(noted.keys().next().value ?? '');
      noted.set(`${chatroomId} ${seq}`, parent);
    },
    async deliver(name, event, execute) {
      const parent = event && noted.get(`${event.chatroomId} ${event.seq}`);
      if (!parent) return contexts.run(api.ROOT_CONTEXT, execute);
      const span = tracer.startSpan(
        name,
        { kind: api.SpanKind.CONSUMER, attributes: { 'parley.seq': event.seq } },
        parent,
      );
      const result = await run(span, parent, execute);
      results.set(result, api.trace.setSpan(parent, span));
      return result;
    },
    written(result) {
      const parent = results.get(result);
      // The first of maybe thousands: the others follow at once.
      if (parent && results.delete(result))
        tracer.startSpan('write frame', { kind: api.SpanKind.PRODUCER }, parent).end();
    },
    flush: () => provider.forceFlush(),
    // A collector that is away holds nobody up.
    stop: () => provider.shutdown().catch(() => undefined),
  };
}
