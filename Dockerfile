# Debian rather than Alpine: the tests run on glibc, and so does this.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY client/package.json ./client/
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json prisma.config.ts codegen.ts schema.graphql ./
COPY prisma ./prisma
COPY src ./src
COPY client ./client
COPY examples/web ./examples/web
RUN npm run codegen && npm run build:server && npm run build:web

FROM node:20-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=4000
WORKDIR /app
COPY package.json package-lock.json ./
COPY client/package.json ./client/
# Without the embedded PostgreSQL, which is optional, and so without the binaries of argon2 and sharp, which are optional
# too: they are brought back from the build.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force \
  # Prisma brings a query compiler for each database it knows.
  && find node_modules/@prisma/client/runtime -name "query_compiler_*" ! -name "*.postgresql.*" -delete
COPY --from=build /app/node_modules/@node-rs ./node_modules/@node-rs
COPY --from=build /app/node_modules/@img ./node_modules/@img
COPY --from=build /app/dist ./dist
COPY prisma/migrations ./prisma/migrations
USER node
EXPOSE 4000
# A start waits up to 60 s for PostgreSQL, and as long for Redis.
HEALTHCHECK --interval=5s --timeout=3s --start-period=150s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Applies the migrations, then serves.
CMD ["node", "--enable-source-maps", "dist/main.js"]
