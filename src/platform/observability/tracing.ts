import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attributes, Context as TraceContext, Span } from '@opentelemetry/api';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Null if no trace collector is configured. */
    tracing: Tracing | null;
  }
}

/** Records traces of requests and of the deliveries that they cause. */
export interface Tracing {
  /** Calls `handle` within a span for an HTTP request. The span ends when the response is closed. */
  serve(request: IncomingMessage, response: ServerResponse, handle: () => void): void;
  /** Runs `work` within a span. The parent is `traceparent` (W3C Trace Context) if given, otherwise the active span. */
  within<Result>(
    name: string,
    attributes: Attributes,
    work: () => Result | Promise<Result>,
    traceparent?: unknown,
  ): Promise<Result>;
  /** Runs an SQL statement, within a span if a trace is active. Does not record parameter values. */
  statement: <Result>(text: string, run: () => Promise<Result>) => Promise<Result>;
  /** Returns the `traceparent` of the active span, to send to another node. Returns undefined if no span is active. */
  traceparent(): string | undefined;
  /** Records which span caused an event, so that the deliveries of the event join the trace of that span. */
  recordCause(event: EventPosition, traceparent: unknown): void;
  /**
   * Executes an event for a subscriber within the trace that caused the event. Without a recorded cause, executes the
   * event outside any trace.
   */
  deliver<Result extends object>(
    name: string,
    event: EventPosition | null,
    execute: () => Promise<Result>,
  ): Promise<Result>;
  /** Records the first write of a result to a subscriber. Ignores further writes of the same result. */
  recordWrite: (result: object) => void;
  /** Sends all pending spans. */
  flush(): Promise<void>;
  /** Sends all pending spans and stops tracing. */
  stop(): Promise<void>;
}

/** Position of an event in a room's log. */
interface EventPosition {
  chatroomId: string;
  seq: number;
}

/**
 * Maximum number of events whose cause is remembered. Few are needed, because events are delivered within milliseconds
 * or after the next poll.
 */
const MAX_RECORDED_CAUSES = 1_000;

/**
 * Starts tracing to an OpenTelemetry collector. Imports the libraries here, so that a server without tracing does not
 * load them.
 *
 * @param options.endpoint OTLP/HTTP endpoint without a path
 * @param options.ratio fraction of traces that are recorded, from 0 to 1. A request with a `traceparent` is recorded if
 *   its sender records the trace.
 */
export async function startTracing(options: { endpoint: string; ratio: number; version: string }): Promise<Tracing> {
  const [api, { W3CTraceContextPropagator }, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/core'),
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
  // Does not register a global provider, because in tests two nodes share one process.
  const tracer = provider.getTracer('parley');
  const contexts = new AsyncLocalStorage<TraceContext>();
  const causes = new Map<string, TraceContext>();
  const results = new WeakMap<object, TraceContext>();

  const propagator = new W3CTraceContextPropagator();

  function contextOf(traceparent: unknown): TraceContext | undefined {
    const found = propagator.extract(api.ROOT_CONTEXT, { traceparent }, api.defaultTextMapGetter);
    return found === api.ROOT_CONTEXT ? undefined : found;
  }

  /**
   * Returns the context of the active span, or the root context. Streams, timers and connections may outlive the
   * operation that created them. A span that has ended is therefore ignored.
   */
  function activeContext(): TraceContext {
    const found = contexts.getStore() ?? api.ROOT_CONTEXT;
    return api.trace.getSpan(found)?.isRecording() ? found : api.ROOT_CONTEXT;
  }

  async function run<Result>(span: Span, parent: TraceContext, work: () => Result | Promise<Result>): Promise<Result> {
    try {
      return await contexts.run(api.trace.setSpan(parent, span), work);
    } catch (error) {
      // Records only the name of the error, because its message may repeat user input.
      span.setStatus({ code: api.SpanStatusCode.ERROR, message: (error as Error).name });
      throw error;
    } finally {
      span.end();
    }
  }

  return {
    serve(request, response, handle) {
      const parent = contextOf(request.headers.traceparent) ?? api.ROOT_CONTEXT;
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
      contexts.run(api.trace.setSpan(parent, span), handle);
    },
    within(name, attributes, work, traceparent) {
      const parent = contextOf(traceparent) ?? activeContext();
      return run(tracer.startSpan(name, { attributes }, parent), parent, work);
    },
    statement(text, work) {
      const parent = activeContext();
      if (parent === api.ROOT_CONTEXT) return work();
      const [verb = 'SQL'] = text.trim().split(/\s/, 1);
      const attributes = { 'db.system.name': 'postgresql', 'db.query.text': text.replace(/\s+/g, ' ').trim() };
      return run(tracer.startSpan(verb, { kind: api.SpanKind.CLIENT, attributes }, parent), parent, work);
    },
    traceparent() {
      const carrier: { traceparent?: string } = {};
      propagator.inject(activeContext(), carrier, api.defaultTextMapSetter);
      return carrier.traceparent;
    },
    recordCause({ chatroomId, seq }, traceparent) {
      const parent = contextOf(traceparent);
      if (!parent) return;
      if (causes.size === MAX_RECORDED_CAUSES) causes.delete(causes.keys().next().value ?? '');
      causes.set(`${chatroomId} ${seq}`, parent);
    },
    async deliver(name, event, execute) {
      const parent = event && causes.get(`${event.chatroomId} ${event.seq}`);
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
    recordWrite(result) {
      const parent = results.get(result);
      // A result may be written to thousands of subscribers. Records only the first write, because the others follow
      // immediately.
      if (parent && results.delete(result))
        tracer.startSpan('write frame', { kind: api.SpanKind.PRODUCER }, parent).end();
    },
    flush: () => provider.forceFlush(),
    // An unavailable collector must not delay the shutdown.
    stop: () => provider.shutdown().catch(() => undefined),
  };
}
